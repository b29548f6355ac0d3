//go:build !small

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pbr/cmd/pbr/web"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
	"pbr/kernel"
	"pbr/kernel/conntrack"
	"pbr/kernel/doctor"
)

const (
	// connectionsShown is how many connections the page gets, connectionsPatience how long they
	// are looked for.
	connectionsShown    = 200
	connectionsPatience = 3 * time.Second
	// helperNiceness keeps programs that answer questions behind the watch.
	helperNiceness = 10
	// helperEnd is how long a program may take to end when it is asked to.
	helperEnd = 3 * time.Second
	// pageTrace is how long a trace lasts.
	pageTrace = "30s"
)

// Connections implements web.Source. Those that began last come first, so that a few are enough
// to be explained.
func (w *webSource) Connections(ctx context.Context, f web.Filter) (found *web.Connections, err error) {
	file := w.inForce()
	err = withOwnKernel(func(k *kernel.Kernel) error {
		v := &connectionView{command: quiet(), connectionFilter: &connectionFilter{uplink: f.Uplink, policy: f.Policy}, kernel: k}
		if err := v.explainBy(file); err != nil {
			return err
		}
		flows, err := k.Flows()
		if err == nil {
			found = v.newest(ctx, flows, strings.ToLower(f.Text))
		}
		return err
	})
	return found, err
}

// newest explains the connections that began last, as many as are shown, and that have a text.
func (v *connectionView) newest(ctx context.Context, flows []conntrack.Flow, text string) *web.Connections {
	sorting.Func(flows, func(a, b conntrack.Flow) int {
		return cmp.Or(b.Started.Compare(a.Started), compareTuples(&a.Orig, &b.Orig))
	})
	out, end := &web.Connections{Total: len(flows)}, time.Now().Add(connectionsPatience)
	out.Ordered = len(flows) > 0 && !flows[0].Started.IsZero()
	for i := range flows {
		if len(out.List) == connectionsShown || ctx.Err() != nil || time.Now().After(end) {
			return out
		}
		out.Read++
		e, selected := v.entry(&flows[i])
		if !selected {
			continue
		}
		row := e.row()
		if text == "" || strings.Contains(strings.ToLower(strings.Join(row, " ")), text) {
			out.List = append(out.List, e.web(row))
		}
	}
	return out
}

// web is a connection as the page shows it.
func (e *connectionEntry) web(row []string) web.Connection {
	o := &e.flow.Orig
	c := web.Connection{Proto: row[0], Source: row[1], Destination: row[2], Uplink: row[3], Policy: row[4],
		Table: row[5], SeenAs: row[6], Bytes: row[7], Started: e.flow.Started}
	set := func(key, value string) { c.Question.Set(key, value) }
	set("src", o.Src.String())
	set("dst", o.Dst.String())
	set("proto", policy.ProtoName(o.Proto))
	set("in", e.carried.In)
	if o.HasPorts {
		set("sport", strconv.Itoa(int(o.SPort)))
		set("dport", strconv.Itoa(int(o.DPort)))
	}
	return c
}

// helper prepares this program to run another command. What is slow, tries kernel features, or
// changes something for a while runs in a process of its own, which can be stopped without
// affecting the watch.
func (w *webSource) helper(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path := w.policies.current().Path
	if path == "" {
		return nil, errFromPipe
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"--config", path}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = helperEnd
	return cmd, nil
}

// start starts a helper, behind the watch in the queue for processors.
func start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, cmd.Process.Pid, helperNiceness)
	return nil
}

// Doctor implements web.Source.
func (w *webSource) Doctor(ctx context.Context) ([]doctor.Finding, error) {
	cmd, err := w.helper(ctx, "doctor", "--json")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	said := &firstWords{}
	cmd.Stdout, cmd.Stderr = &out, said
	if err = start(cmd); err == nil {
		err = cmd.Wait()
	}
	var result doctorResult
	if json.Unmarshal(out.Bytes(), &result) == nil {
		return result.Findings, nil // exit status 1 says that something fails
	}
	return nil, helperError("pbr doctor", err, said)
}

func helperError(what string, err error, said *firstWords) error {
	if text := strings.TrimSpace(string(said.words)); text != "" {
		return fmt.Errorf("%s: %s", what, text)
	}
	return fmt.Errorf("%s: %w", what, cmp.Or(err, errors.New("it said nothing")))
}

// Trace implements web.Source.
func (w *webSource) Trace(ctx context.Context, host string, found func(web.Traced)) error {
	cmd, err := w.helper(ctx, "trace", "--json", "--time", pageTrace, "--src", host)
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	said := &firstWords{}
	cmd.Stderr = said
	if err := start(cmd); err != nil {
		return err
	}
	decoder := json.NewDecoder(out)
	for {
		var item tracedItem
		if err = decoder.Decode(&item); err != nil {
			break
		}
		found(webTraced(&item))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if ended := cmd.Wait(); ended != nil && ctx.Err() == nil {
		return helperError("pbr trace", ended, said)
	}
	return cmp.Or(ctx.Err(), err)
}

// webTraced is a packet as the page shows it.
func webTraced(t *tracedItem) web.Traced {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	out := web.Traced{At: time.Now(), Proto: t.Proto, Source: endOf(t.Src, t.SPort), Destination: endOf(t.Dst, t.DPort),
		In: text(t.In), State: t.State, Verdict: t.Verdict,
		Uplink: text(t.Uplink), Policy: text(t.Policy), Seen: text(t.Seen), Agrees: t.Agrees}
	if t.DroppedBy != nil {
		out.By = t.DroppedBy.String()
	}
	return out
}

// endOf is an address, with its port if it has one.
func endOf(address string, port *uint16) string {
	a, err := netip.ParseAddr(address)
	if err != nil || port == nil {
		return address
	}
	return netip.AddrPortFrom(a, *port).String()
}
