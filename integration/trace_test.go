package integration

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// traced is a packet as pbr trace --json tells it.
type traced struct {
	Proto, Src, Dst, State, Verdict, Mark string
	In, Interface, Uplink, Policy, Seen   *string
	Probe                                 *string
	DroppedBy                             *struct{ Table, Chain string } `json:"dropped_by"`
	Agrees                                bool
	Explain                               struct{ Verdict string }
}

// tracing is a pbr trace that runs.
type tracing struct {
	w     *watched
	cmd   *exec.Cmd
	said  *monitor
	lines chan traced
}

// startTrace starts pbr trace, and waits until its chain is there.
func (w *watched) startTrace(args ...string) *tracing {
	w.t.Helper()
	cmd := w.Router.Command(pbrPath, append([]string{"--config", w.router.file, "trace", "--json"}, args...)...)
	said := &monitor{}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = w.Router.Start(cmd)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	tr := &tracing{w, cmd, said, make(chan traced, 1000)}
	go func() {
		defer close(tr.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			var one traced
			if json.Unmarshal(s.Bytes(), &one) == nil {
				tr.lines <- one
			}
		}
	}()
	w.t.Cleanup(func() { _ = cmd.Process.Kill() })
	lab.WaitFor(w.t, "the chain of pbr trace", func() bool { return w.hasTrace() })
	return tr
}

func (w *watched) hasTrace() bool {
	return strings.Contains(w.Router.Run("nft", "list", "chains"), "chain trace")
}

// end waits for its end, and returns what it told.
func (tr *tracing) end() (all []traced) {
	tr.w.t.Helper()
	deadline := time.After(lab.Patience(20 * time.Second))
	for {
		select {
		case one, more := <-tr.lines:
			if more {
				all = append(all, one)
				continue
			}
			if err := tr.cmd.Wait(); err != nil {
				tr.w.t.Errorf("pbr trace ended with %v\n%s", err, tr.said.text())
			}
			if tr.w.hasTrace() {
				tr.w.t.Error("pbr trace left its chain")
			}
			return all
		case <-deadline:
			tr.w.t.Fatal("pbr trace does not end")
		}
	}
}

// Real packets are told with their way, which is the one that explain tells; also those that
// others' chains drop.
func TestTrace(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	step := steps.Of(t)
	step.Run("without a table it is refused", func(t *testing.T) {
		if res := w.router.pbr("trace", "--count", "1"); res.Code != 1 || !strings.Contains(res.Stderr, "not applied") {
			t.Errorf("without a table: %d %s", res.Code, res.Stderr)
		}
	})
	w.router.apply(watchPolicy)
	step.Run("a packet of a policy, and no second trace meanwhile", func(t *testing.T) {
		tr := w.startTrace("--src", bySecond.String(), "--proto", "udp", "--count", "1")
		if res := w.router.pbr("trace"); res.Code != 1 || !strings.Contains(res.Stderr, "another pbr trace is running") {
			t.Errorf("a second trace: %d %s", res.Code, res.Stderr)
		}
		w.router.inSync()
		w.arrives(byDefault)
		if _, err := w.lan.AskOnce("udp", bySecond, farEnd, lab.DialOptions{}); err != nil {
			t.Fatal(err)
		}
		all := tr.end()
		if len(all) != 1 {
			t.Fatalf("one packet: %+v", all)
		}
		if p := all[0]; p.Verdict != "forward" || text(p.Uplink) != "isp2" || text(p.Interface) != "wan2" ||
			text(p.Policy) != "second" || text(p.In) != "br-lan" ||
			p.State != "new" || text(p.Seen) != "198.51.100.2" || !p.Agrees || p.Mark == "0x0" || p.Src != bySecond.String() {
			t.Errorf("by policy: %+v: uplink %s, policy %s, seen %s", p, text(p.Uplink), text(p.Policy), text(p.Seen))
		}
	})

	step.Run("a trace that saw nothing says so", func(t *testing.T) {
		res := w.router.pbr("trace", "--src", "192.168.10.254", "--time", "100ms")
		if res.Code != 0 || !strings.Contains(res.Stderr, "no packet seen: did the host send? Offloaded packets are not shown") {
			t.Errorf("%d %s", res.Code, res.Stderr)
		}
	})
	step.Run("who dropped it is named", func(t *testing.T) {
		w.Router.NFT("table inet mine { chain guard { type filter hook forward priority 5; udp dport 4444 drop; }; " +
			"chain shut { type filter hook forward priority 6; policy drop; " +
			"udp dport 4445 counter; tcp dport 1-65535 accept; udp dport 7777 accept; }; }")
		for port, chain := range map[string]string{"4444": "guard", "4445": "shut"} {
			tr := w.startTrace("--dst", farEnd.Addr().String(), "--proto", "udp", "--dport", port, "--count", "1")
			w.lan.Exec("bash", "-c", "echo hello > /dev/udp/"+farEnd.Addr().String()+"/"+port)
			all := tr.end()
			if len(all) != 1 || all[0].Verdict != "drop" || all[0].DroppedBy == nil ||
				all[0].DroppedBy.Table != "inet mine" || all[0].DroppedBy.Chain != chain || all[0].Agrees {
				t.Errorf("dropped by %s: %+v", chain, all)
			}
		}
		w.Router.Run("nft", "delete", "table", "inet", "mine")
	})

	step.Run("the router's own", func(t *testing.T) {
		tr := w.startTrace("--in", "local", "--proto", "tcp", "--count", "1")
		w.Router.Exec("bash", "-c", "timeout 2 bash -c 'echo > /dev/tcp/"+farEnd.Addr().String()+"/7777'")
		if all := tr.end(); len(all) != 1 || text(all[0].In) != "local" || text(all[0].Uplink) != "isp1" || !all[0].Agrees {
			t.Errorf("the router's own: %+v", all)
		}
	})

	step.Run("all packets of a connection", func(t *testing.T) {
		tr := w.startTrace("--time", "1s", "--proto", "tcp") // and not the multicast of the router's own
		w.arrives(byStrict)
		seen := map[string]bool{}
		for _, p := range tr.end() {
			seen[p.State] = true
			if !p.Agrees {
				t.Errorf("explain says otherwise: %+v", p)
			}
		}
		if !seen["new"] || !seen["reply"] {
			t.Errorf("the packets of a connection: %v", seen)
		}
	})
	step.Run("a port without a protocol is refused", func(t *testing.T) {
		if res := w.router.pbr("trace", "--dport", "53"); res.Code != 1 || !strings.Contains(res.Stderr, "--proto udp") {
			t.Errorf("a port without a protocol: %d %s", res.Code, res.Stderr)
		}
	})
	w.router.inSync()
}

// The chain of a running trace is not drift, for diff, apply and watch; that of a killed one is,
// and goes.
func TestTraceIsNoDrift(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	step := steps.Of(t)
	step.Run("a running trace is not drift, and outlives an apply and a reload", func(t *testing.T) {
		tr := w.startTrace("--time", "60s", "--src", "192.168.10.99")
		w.router.inSync()
		w.router.write(moreLater)
		says(t, w.router.pbr("apply"), 0)
		w.router.inSync()
		w.hangUp()
		w.logged("reloaded the policy: the kernel already holds it")
		if !w.hasTrace() {
			t.Error("an apply, or the watch, removed the chain of a running trace")
		}
		if strings.Contains(w.log.text(), "repaired") || strings.Contains(w.log.text(), "drift") {
			t.Errorf("the watch took a running trace for drift:\n%s", w.log.text())
		}
		_ = tr.cmd.Process.Signal(syscall.SIGTERM)
		tr.end()
		w.router.inSync()
	})

	step.Run("a killed one is a difference, and goes with an apply through the watch", func(t *testing.T) {
		tr := w.startTrace("--time", "60s")
		w.router.inSync() // it has been read while it was a running one's
		_ = tr.cmd.Process.Kill()
		_ = tr.cmd.Wait()
		if res := w.router.pbr("diff"); res.Code != 2 || !strings.Contains(res.Stdout, "trace") {
			t.Errorf("diff after the trace was killed: %d\n%s", res.Code, res.Stdout)
		}
		says(t, w.router.pbr("apply"), 0)
		if w.hasTrace() {
			t.Error("apply through the watch left the chain of a killed trace")
		}
		w.router.inSync()
	})

	step.Run("without a watch an apply, or the next trace, takes it away", func(t *testing.T) {
		w.stop()
		tr := w.startTrace("--time", "60s")
		says(t, w.router.pbr("apply"), 0)
		_ = tr.cmd.Process.Kill()
		_ = tr.cmd.Wait()
		says(t, w.router.pbr("apply"), 0)
		if w.hasTrace() {
			t.Error("apply left the chain of a killed trace")
		}
		tr = w.startTrace("--time", "60s")
		_ = tr.cmd.Process.Kill()
		_ = tr.cmd.Wait()
		w.startTrace("--time", "1s").end() // takes the place of the dead one
		w.router.inSync()
	})
}
