package integration

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// watchBalance has three providers, by a hash of the destination for most hosts, and for .11 one
// that it keeps.
const watchBalance = `
[check]
interval = "100ms"
timeout = "90ms"
down-after = 2
up-after = 2
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
gateway6 = "2001:db8:f1::1"
nat = "masquerade"
check = { method = "ping", targets = "9.9.9.9" }
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
nat = "masquerade"
check = { method = "ping", targets = "9.9.9.9" }
[[uplink]]
name = "isp3"
interface = "wan3"
gateway = "203.0.113.1"
gateway6 = "2001:db8:f3::1"
nat = "masquerade"
check = { method = "ping", targets = "9.9.9.9" }
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[balance]]
name = "spread"
hash = "dst"
members = [{ uplink = "isp1" }, { uplink = "isp2" }, { uplink = "isp3" }]
[[balance]]
name = "kept"
method = "round-robin"
members = [{ uplink = "isp2" }, { uplink = "isp3" }]
sticky = "1h"
[[policy]]
name = "keep"
src = "192.168.10.11"
balance = "kept"
[[policy]]
name = "rest"
from = "br-lan"
balance = "spread"
`

// elementPattern is a change of one element that nft monitor tells of; spaces in the list do not
// matter.
var elementPattern = regexp.MustCompile(`^(add|create|delete) element inet pbr (\S+) \{[^,]*\}$`)

// A member that fails under load costs one element of each balance that has it; connections of the
// others continue, those that were its own start again with others, and all of it turns back when
// it recovers.
func TestWatchBalanceUnderLoad(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchBalance, 3)
	dst := func(i int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("198.18.%d.99:7777", i)) }
	streams := make([]*lab.Stream, 20)
	at := make([]string, len(streams))
	for i := range streams {
		streams[i] = w.lan.Stream(byDefault, dst(i), 5*time.Millisecond)
	}
	for i, s := range streams {
		lab.WaitFor(t, "a stream to be answered", func() bool { return s.Tale().Last != "" })
		at[i] = s.Tale().Last
	}
	kept := []string{}
	keeps := func(t *testing.T, when, want string) {
		t.Helper()
		seen, err := w.lan.AskOnce("tcp", bySecond, farEnd, lab.DialOptions{})
		if err != nil || want != "" && seen.By != want {
			t.Errorf("%s: the client that keeps its member goes by %q, %v; not by %s", when, seen.By, err, want)
		}
		kept = append(kept, seen.By)
	}
	keeps(t, "first", "isp2")
	keeps(t, "then", "isp2")
	t.Logf("the streams go %v", share(at))
	if s := share(at); s["isp1"] == 0 || s["isp2"] == 0 || s["isp3"] == 0 {
		t.Fatalf("the streams go %v", s)
	}

	nft := w.router.watch("nft", "monitor")
	lab.WaitFor(t, "nft monitor to listen", func() bool {
		w.router.Run("nft", "add", "table", "ip", "awake")
		w.router.Run("nft", "delete", "table", "ip", "awake")
		return strings.Contains(nft.text(), "delete table ip awake")
	})
	before := len(nft.text())
	step := steps.Of(t)
	step.Run("an uplink ordered down: its streams move, and elements alone change", func(t *testing.T) {
		w.router.must("uplink", "isp2", "down")
		for i, s := range streams {
			if at[i] == "isp2" {
				lab.WaitFor(t, "a stream of isp2 to go by another provider", func() bool { return s.Tale().Last != "isp2" })
			}
		}
		keeps(t, "with isp2 down", "isp3")
		lab.WaitFor(t, "nft monitor to tell of the failure",
			func() bool { return strings.Contains(nft.text()[before:], "balance-kept/usable-4") })
		w.onlyElements(nft.text()[before:])
	})

	step.Run("it is back: its client stays where it went", func(t *testing.T) {
		w.router.must("uplink", "isp2", "auto")
		w.waitState("isp2", "up")
		keeps(t, "with isp2 up again", "isp3")
	})
	step.Run("streams of others did not notice, and new connections go as before", func(t *testing.T) {
		for i, s := range streams {
			tale := s.Stop()
			if at[i] != "isp2" && (len(tale.By) != 1 || tale.Lost() > 0) {
				t.Errorf("stream %d of %s: %s", i, at[i], tale)
			}
			// New connections go where the old ones went before.
			seen, err := w.lan.AskOnce("tcp", byDefault, dst(i), lab.DialOptions{})
			if err != nil || seen.By != at[i] {
				t.Errorf("with isp2 up again a connection to %s goes by %q (%v), not by %s as before", dst(i), seen.By, err, at[i])
			}
		}
		w.onlyElements(nft.text()[before:])
	})
	step.Run("it is not a failure", func(t *testing.T) {
		if d := w.router.pbr("diff"); d.Code == 1 {
			t.Errorf("pbr diff: %s", d.Stderr)
		}
	})
}

// onlyElements fails the test if nft told of anything but single elements that came and went.
func (w *watched) onlyElements(told string) {
	w.t.Helper()
	for _, line := range strings.Split(told, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "# new generation") ||
			strings.HasSuffix(line, "table ip awake") {
			continue
		}
		if !elementPattern.MatchString(line) {
			w.t.Errorf("nft tells of %s", line)
		}
	}
}

// call is a TCP connection that stays open, and the provider that it arrived at.
type call struct {
	conn *lab.Conn
	by   string
}

func (w *watched) call(from *lab.Host, src netip.Addr, dst netip.AddrPort) call {
	w.t.Helper()
	conn, err := from.Dial("tcp", src, dst, lab.DialOptions{})
	if err != nil {
		w.t.Fatalf("calling %s: %v\n%s", dst, err, w.routesText())
	}
	seen, err := conn.Ask()
	if err != nil {
		w.t.Fatalf("calling %s: %v", dst, err)
	}
	return call{conn, seen.By}
}

func (c call) works() bool {
	seen, err := c.conn.Ask()
	return err == nil && seen.By == c.by
}

// TCP connections of the LAN and of the router itself through balances, while the checks find a
// member dead and it recovers: those by other members live on, those begun by others meanwhile stay
// there, and status tells of all of it.
func TestWatchBalanceTCP(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchBalance+"[[policy]]\nname = \"own\"\nfrom = \"local\"\ndst = \"198.18.0.0/15\"\nbalance = \"spread\"\n", 3)
	dst := func(i int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("198.18.%d.98:7777", i)) }
	const n = 12
	all := func() (lan, own []call) {
		t.Helper()
		for i := range n {
			lan = append(lan, w.call(w.lan, byDefault, dst(i)))
			own = append(own, w.call(w.Router, netip.Addr{}, dst(i)))
			if lan[i].by != own[i].by {
				t.Errorf("to %s the LAN goes by %s, the router itself by %s: the hash is of the destination", dst(i), lan[i].by, own[i].by)
			}
		}
		return lan, own
	}
	lan, own := all()
	w.call(w.lan, bySecond, farEnd) // a client to remember, of isp2
	status := func(words ...string) {
		t.Helper()
		lab.WaitFor(t, fmt.Sprintf("pbr status to show %q", words), func() bool {
			out := w.router.pbr("status").Stdout
			for _, word := range words {
				if !matches(word, out) {
					return false
				}
			}
			return true
		})
	}
	status(`spread +isp1 +1 +IPv4 IPv6 +-\n`, `kept +isp2 +1 +IPv4 +1\n`, `\n +isp3 +1 +IPv4 IPv6 +0\n`)

	w.dead("isp2", "9.9.9.9")
	w.waitState("isp2", "down")
	status(`kept +isp2 +1 +none +1\n`)
	w.logged("flushed connections", "isp2")
	meanwhileLAN, meanwhileOwn := all()
	check := func(when string, calls []call, except string) {
		t.Helper()
		for i, c := range calls {
			if works := c.works(); works != (c.by != except) {
				t.Errorf("%s: the connection to %s by %s: works: %v", when, dst(i), c.by, works)
			}
		}
	}
	check("isp2 down, LAN", lan, "isp2")
	check("isp2 down, router", own, "isp2")
	moved := 0
	for i := range n {
		switch {
		case lan[i].by == "isp2":
			moved++
		case meanwhileLAN[i].by != lan[i].by:
			t.Errorf("isp2 down: to %s by %s, before by %s", dst(i), meanwhileLAN[i].by, lan[i].by)
		}
	}
	if moved == 0 {
		t.Fatal("no connection of this test was by isp2")
	}
	w.call(w.lan, bySecond, farEnd)
	status(`kept +isp2 +1 +none +0\n`, `\n +isp3 +1 +IPv4 IPv6 +1\n`)

	w.alive("isp2", "9.9.9.9")
	w.waitState("isp2", "up")
	check("isp2 back, LAN", meanwhileLAN, "")
	check("isp2 back, router", meanwhileOwn, "")
	afterLAN, _ := all()
	for i := range n {
		if afterLAN[i].by != lan[i].by {
			t.Errorf("isp2 back: to %s by %s, at first by %s", dst(i), afterLAN[i].by, lan[i].by)
		}
	}
	// Clients are dealt out again on purpose; nobody takes that for damage.
	w.router.Run("nft", "flush", "map", "inet", "pbr", "balance-kept/clients-4")
	status(`kept +isp2 +1 +IPv4 +0\n`, `\n +isp3 +1 +IPv4 IPv6 +0\n`)
	w.router.inSync()
	t.Logf("%d of %d destinations moved", moved, n)
}
