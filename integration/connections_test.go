package integration

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// listed is a connection as pbr connections --json has it.
type listed struct {
	Event, Proto, Src, Dst, Mark string
	Family                       int
	SPort, DPort                 *uint16
	In, Uplink, Policy, Table    *string
	Now, Offloaded               bool
	By                           *struct{ Kind, Name string }
	NAT                          struct{ Kind, Address, To string }
	Bytes, Packets               *uint64
}

// connections lists the router's connections by their source.
func (w *watched) connections(args ...string) map[string]listed {
	w.t.Helper()
	var res struct {
		Connections []listed
		Flushed     *int
	}
	text := w.router.must(append([]string{"connections", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &res); err != nil {
		w.t.Fatalf("pbr connections: %v\n%s", err, text)
	}
	all := map[string]listed{}
	for _, c := range res.Connections {
		all[c.Src] = c
	}
	return all
}

func (w *watched) dial(src netip.Addr) *lab.Conn {
	w.t.Helper()
	c, err := w.lan.Dial("tcp", src, w.target(src), lab.DialOptions{})
	if err == nil {
		_, err = c.Ask()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// target is an address of the internet of the same IP version.
func (w *watched) target(src netip.Addr) netip.AddrPort {
	if src.Is6() {
		return netip.AddrPortFrom(netip.MustParseAddr("2001:db8:ffff::63"), farEnd.Port())
	}
	return farEnd
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func (l listed) is(uplink, policy, table, seen string) bool {
	return text(l.Uplink) == uplink && text(l.Policy) == policy && text(l.Table) == table && l.NAT.Address == seen
}

// Connections are told with their uplink, what catches them, and their translation; filters select,
// and --flush deletes what they select.
func TestConnections(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	w.Router.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	w.router.apply(watchPolicy)
	second6 := netip.MustParseAddr("2001:db8:10::11")
	kept := w.dial(byDefault)
	w.dial(bySecond)
	w.dial(byStrict)
	w.dial(second6)
	all := w.connections()
	for src, want := range map[netip.Addr][4]string{
		byDefault: {"isp1", "null", "default", "192.0.2.2"},
		bySecond:  {"isp2", "second", "to-isp2", "198.51.100.2"},
		byStrict:  {"isp2", "strict", "only-isp2", "198.51.100.2"},
		second6:   {"isp2", "second", "to-isp2", "2001:db8:10::11"},
	} {
		t.Run(src.String(), func(t *testing.T) {
			c := all[src.String()]
			if !c.is(want[0], want[1], want[2], want[3]) || c.Now || text(c.In) != "br-lan" {
				t.Errorf("%s: %+v: uplink %s, policy %s, table %s; wanted %q", src, c, text(c.Uplink), text(c.Policy), text(c.Table), want)
			}
			if c.Bytes == nil || *c.Bytes == 0 {
				t.Errorf("%s: no bytes although they are counted", src)
			}
		})
	}
	if all[byDefault.String()].By.Kind != "default" || all[second6.String()].Family != 6 {
		t.Errorf("by, or family: %+v", all)
	}
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"--uplink", "isp1"}, []string{byDefault.String()}},
		{[]string{"--src", "192.168.10.11"}, []string{bySecond.String()}},
		{[]string{"--src", "192.168.10.0/24", "--uplink", "isp2"}, []string{bySecond.String(), byStrict.String()}},
		{[]string{"--policy", "second"}, []string{bySecond.String(), second6.String()}},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			got := w.connections(tc.args...)
			missing := len(got) != len(tc.want)
			for _, src := range tc.want {
				_, is := got[src]
				missing = missing || !is
			}
			if missing {
				t.Errorf("%q selects %v, wanted %v", tc.args, got, tc.want)
			}
		})
	}
	for _, args := range [][]string{{"--uplink", "isp9"}, {"--policy", "secnd"}, {"--src", "192.168.10"}, {"--yes"},
		{"--follow", "--flush"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if res := w.router.pbr(append([]string{"connections"}, args...)...); res.Code != 1 || res.Stderr == "" {
				t.Errorf("%q: exit status %d, %s", args, res.Code, res.Stderr)
			}
		})
	}
	w.flushShown(kept)
}

// flushShown flushes the connections of one policy, and no other.
func (w *watched) flushShown(kept *lab.Conn) {
	w.t.Helper()
	args := []string{"--config", w.router.file, "connections", "--policy", "second", "--flush"}
	for _, answer := range []string{"", "n\n"} {
		if res := w.router.ExecInput(answer, pbrPath, args...); res.Code != 1 || len(w.connections("--policy", "second")) != 2 {
			w.t.Errorf("the answer %q: exit status %d\n%s%s", answer, res.Code, res.Stdout, res.Stderr)
		}
	}
	res := w.router.ExecInput("y\n", pbrPath, args...)
	if res.Code != 0 || !strings.Contains(res.Stderr, "flush 2 connections?") || !strings.Contains(res.Stderr, "flushed 2 connections") {
		w.t.Errorf("--flush: exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	left := w.connections()
	if len(left) != 2 || left[byDefault.String()].Src == "" || left[byStrict.String()].Src == "" {
		w.t.Errorf("left are %v", left)
	}
	if _, err := kept.Ask(); err != nil {
		w.t.Errorf("a connection that was not flushed: %v", err)
	}
	if out := w.router.must("connections", "--flush", "--yes", "--json"); !strings.Contains(out, `"flushed": 2`) {
		w.t.Errorf("--flush --yes --json: %s", out)
	}
}

// What would be decided otherwise by now is marked.
func TestConnectionsOfAnotherPolicy(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	w.router.apply(watchPolicy)
	w.dial(byDefault)
	w.dial(bySecond)
	w.router.apply(moreLater) // the default host uses isp2
	all := w.connections()
	step := steps.Of(t)
	step.Run("one that the edit moves shows what it would be now", func(t *testing.T) {
		if c := all[byDefault.String()]; !c.is("isp1", "more", "default", "192.0.2.2") &&
			!c.is("isp1", "more", "isp2", "192.0.2.2") || !c.Now {
			t.Errorf("after an edit: %+v, uplink %s, policy %s, table %s", c, text(c.Uplink), text(c.Policy), text(c.Table))
		}
	})
	step.Run("one that it does not touch shows nothing", func(t *testing.T) {
		if c := all[bySecond.String()]; c.Now {
			t.Errorf("one that the edit does not touch: %+v", c)
		}
	})
	step.Run("the list for people says so", func(t *testing.T) {
		if out := w.router.must("connections"); !strings.Contains(out, "more (now)") {
			t.Errorf("for people:\n%s", out)
		}
	})
	step.Run("one that is younger than the policy shows nothing", func(t *testing.T) {
		// Where the kernel notes when connections begin, what is older than the policy is marked.
		w.Router.Sysctl("net/netfilter/nf_conntrack_timestamp", "1")
		w.router.must("connections", "--flush", "--yes")
		w.dial(bySecond)
		if c := w.connections()[bySecond.String()]; c.Now {
			t.Errorf("younger than the policy: %+v", c)
		}
	})
	step.Run("one that is older shows what it would be now", func(t *testing.T) {
		w.router.apply(watchPolicy)
		if c := w.connections()[bySecond.String()]; !c.Now || text(c.Policy) != "second" {
			t.Errorf("older than the policy: %+v", c)
		}
	})
}

// A connection from outside belongs to the uplink that it arrived on.
func TestConnectionsFromOutside(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	w.Router.ServeEcho(int(farEnd.Port()))
	w.router.apply(watchPolicy)
	for isp, to := range map[string]string{"isp1": "192.0.2.2", "isp2": "198.51.100.2"} {
		c, err := w.ISPs[isp].Dial("tcp", farEnd.Addr(), netip.AddrPortFrom(netip.MustParseAddr(to), farEnd.Port()), lab.DialOptions{})
		if err == nil {
			_, err = c.Ask()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		found := w.connections("--uplink", isp)
		if c := found[farEnd.Addr().String()]; len(found) != 1 || c.By == nil || c.By.Kind != "inbound" || c.Policy != nil || c.Now {
			t.Errorf("%s: %+v", isp, found)
		}
		w.router.must("connections", "--flush", "--yes")
	}
}

// --follow shows what begins and ends, also of connections that began before it listened.
func TestConnectionsFollow(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	w.router.apply(watchPolicy)
	w.dial(bySecond)
	cmd := w.Router.Command(pbrPath, "--config", w.router.file, "connections", "--follow", "--json", "--uplink", "isp2")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = w.Router.Start(cmd)
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan listed, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			var l listed
			if json.Unmarshal(s.Bytes(), &l) == nil {
				lines <- l
			}
		}
	}()
	seen := map[string]bool{}
	see := func(what string) {
		t.Helper()
		lab.WaitFor(t, what, func() bool {
			for {
				select {
				case l := <-lines:
					seen[l.Event+" "+l.Src+" "+text(l.Policy)] = true
				default:
					return seen[what]
				}
			}
		})
	}
	lab.WaitFor(t, "a connection that is followed", func() bool {
		_, _ = w.lan.AskOnce("udp", byStrict, farEnd, lab.DialOptions{})
		select {
		case l := <-lines:
			seen[l.Event+" "+l.Src+" "+text(l.Policy)] = true
			return true
		default:
			return false
		}
	})
	w.dial(byDefault)
	see("new " + byStrict.String() + " strict")
	w.router.must("connections", "--flush", "--yes")
	see("end " + byStrict.String() + " strict")
	see("end " + bySecond.String() + " second") // it is older than the listener
	_ = cmd.Process.Signal(syscall.SIGTERM)
	for l := range lines {
		seen[l.Event+" "+l.Src+" "+text(l.Policy)] = true
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	for what := range seen {
		if strings.Contains(what, byDefault.String()) {
			t.Errorf("%s is not of isp2", what)
		}
	}
}
