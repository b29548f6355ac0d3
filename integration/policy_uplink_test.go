package integration

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// uplinkPolicy has default by isp1, or isp3, host .11 by isp2 while it is usable, host .12 by isp2
// or nowhere, host .13 by a balance or nowhere; and host .14 as .11, but to be reported the
// fallback.
const uplinkPolicy = `
[check]
interval = "100ms"
timeout = "300ms"
down-after = 2
up-after = 2
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
gateway6 = "2001:db8:f1::1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
gateway6 = "2001:db8:f2::1"
nat = "198.51.100.2"
check = { method = "ping", targets = "9.9.9.9" }
[[uplink]]
name = "isp3"
interface = "wan3"
gateway = "203.0.113.1"
gateway6 = "2001:db8:f3::1"
nat = "masquerade"
check = { method = "ping", targets = "9.9.9.9" }
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }, { uplink = "isp3", distance = 3 }]
[[table]]
name = "third"
routes = { uplink = "isp3" }
[[balance]]
name = "pool"
hash = "dst"
members = [{ uplink = "isp2" }, { table = "third" }]
sticky = "1h"
[[policy]]
name = "falls-back"
src = ["192.168.10.11", "2001:db8:10::11"]
uplink = "isp2"
strict = false
[[policy]]
name = "strict"
src = ["192.168.10.12", "192.168.10.15", "2001:db8:10::12"]
uplink = "isp2"
strict = true
[[policy]]
name = "strict-pool"
src = "192.168.10.13"
balance = "pool"
strict = true
[[policy]]
name = "unsaid"
src = "192.168.10.14"
uplink = "isp2"
`

var (
	byFallback = netip.MustParseAddr("192.168.10.11")
	byKill     = netip.MustParseAddr("192.168.10.12")
	// byKill2 is as byKill; it has no broken connection whose packets use up what the kernel tells
	// one host of what is unreachable.
	byKill2 = netip.MustParseAddr("192.168.10.15")
	byPool  = netip.MustParseAddr("192.168.10.13")
)

func newUplinkPolicy(t *testing.T, policy string) *watched {
	t.Helper()
	spec := lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12, 13, 14, 15)}}
	for i := range 3 {
		spec.ISPs = append(spec.ISPs, lab.ISP(i+1))
	}
	return newWatchedNet(t, policy, spec)
}

// refusalPause is what the kernel wants between two answers of "unreachable" to one host: it counts
// each twice, at one a second.
const refusalPause = 3 * time.Second

// refused fails the test unless new connections of a host are told that they are unreachable.
// Linux's IPv6 TCP does not believe that, and runs into its time-out.
func (w *watched) refused(src netip.Addr, when string) {
	w.t.Helper()
	if src.Is6() {
		if isp := w.arrives(src); isp != "" {
			w.t.Errorf("%s: a new connection of %s arrives at %s", when, src, isp)
		}
		return
	}
	last := ""
	for range 4 {
		seen, err := w.lan.AskOnce("tcp", src, farEnd, lab.DialOptions{})
		if err == nil {
			w.t.Fatalf("%s: a new connection of %s arrives at %s", when, src, seen.By)
		}
		if last = err.Error(); strings.Contains(last, "no route to host") {
			return
		}
		time.Sleep(refusalPause)
	}
	w.t.Fatalf("%s: a new connection of %s is not refused, but: %s\n%s", when, src, last, w.routesText())
}

// uplink = "X" is X while it is usable, else what default does, whatever took X out of use; with
// strict it is X or unreachable. A failure is one element of each set, and flushes the running
// connections of both.
func TestPolicyUplinkFails(t *testing.T) {
	t.Parallel()
	w := newUplinkPolicy(t, uplinkPolicy)
	says(t, w.router.pbr("check"), 0, `policy "unsaid": while uplink "isp2" cannot be used`, "[uplink-falls-back]")
	w.start()
	w.waitState("isp2", "up")
	w.waitState("isp3", "up")
	w.watchLeaks()
	fall, kill := w.calls(3, byFallback, "isp2"), w.calls(3, byKill, "isp2")
	def := w.calls(3, byDefault, "isp1")
	nft := w.router.watch("nft", "monitor")
	lab.WaitFor(t, "nft monitor to listen", func() bool {
		w.router.Run("nft", "add", "table", "ip", "awake")
		w.router.Run("nft", "delete", "table", "ip", "awake")
		return strings.Contains(nft.text(), "delete table ip awake")
	})
	before := len(nft.text())

	w.dead("isp2", "9.9.9.9")
	w.waitArrives(byFallback, "isp1")
	w.waitArrives(netip.MustParseAddr("2001:db8:10::11"), "isp1")
	w.logged("policies falls-back", "isp2", "default")
	w.refused(byKill2, "the check failed")
	w.refused(netip.MustParseAddr("2001:db8:10::12"), "the check failed")
	lab.WaitFor(t, "running connections to be flushed", func() bool {
		return fall.broken()+kill.broken() >= 0 &&
			len(fall.conns)+len(kill.conns) == 0
	})
	def.stillUp("isp2 failed")
	during := w.calls(2, byFallback, "isp1")
	w.onlyElements(nft.text()[before:])
	if s := w.router.pbr("status").Stdout; !strings.Contains(s,
		"policies falls-back, unsaid: new connections use default: uplink isp2 is not usable") ||
		!strings.Contains(s, "policy strict: new connections are unreachable: uplink isp2 is not usable") {
		t.Errorf("pbr status does not tell of the fallback:\n%s", s)
	}
	w.router.inSync()

	w.alive("isp2", "9.9.9.9")
	w.waitArrives(byFallback, "isp2")
	w.waitArrives(byKill, "isp2")
	during.stillUp("isp2 is back")

	w.router.must("uplink", "isp2", "down")
	w.waitArrives(byFallback, "isp1")
	w.refused(byKill2, "forced down")
	w.router.must("uplink", "isp2", "auto")
	w.waitArrives(byFallback, "isp2")

	w.Router.IP("link set wan2 down")
	w.waitArrives(byFallback, "isp1")
	w.refused(byKill2, "the link is down")
	w.noLeaks()
}

// A balance of a strict policy keeps no member after the last one failed.
func TestPolicyStrictBalance(t *testing.T) {
	t.Parallel()
	w := newUplinkPolicy(t, uplinkPolicy)
	w.start()
	w.waitState("isp2", "up")
	w.waitState("isp3", "up")
	w.watchLeaks()
	first := w.arrives(byPool)
	if first != "isp2" && first != "isp3" {
		t.Fatalf("a connection arrives at %q", first)
	}
	other := map[string]string{"isp2": "isp3", "isp3": "isp2"}[first]
	running := w.calls(1, byPool, first)
	w.dead(first, "9.9.9.9")
	w.waitArrives(byPool, other)
	w.dead(other, "9.9.9.9")
	lab.WaitFor(t, "no member to be left", func() bool { return w.arrives(byPool) == "" })
	w.refused(byPool, "no member")
	if running.broken() != 1 {
		t.Error("a connection of a member that failed was not flushed")
	}
	w.alive(first, "9.9.9.9")
	w.waitArrives(byPool, first)
	w.noLeaks()
}

// strict holds without a watch: a cable that is pulled takes running and new connections nowhere,
// with ignore_routes_with_linkdown set. An order counts for apply.
func TestPolicyStrictWithoutWatch(t *testing.T) {
	t.Parallel()
	w := newUplinkPolicy(t, "[pbr]\nsysctl = true\n"+uplinkPolicy)
	says(t, w.router.pbr("apply"), 0, "[uplink-falls-back]", `"unsaid"`)
	w.watchLeaks()
	kill, pool := w.calls(2, byKill, "isp2"), w.lan.Stream(byPool, farEnd, streamPace)
	defer pool.Stop()
	lab.WaitFor(t, "a stream of the pool", func() bool { return pool.Tale().Last != "" })
	via := pool.Tale().Last
	i := strings.TrimPrefix(via, "isp")
	step := steps.Of(t)
	step.Run("a cable is pulled: strict is refused, the rest falls back", func(t *testing.T) {
		w.ISPs["isp2"].IP("link set up0 down")
		if via != "isp2" {
			w.ISPs["isp"+i].IP("link set up0 down")
		}
		w.waitArrives(byFallback, "isp1")
		w.refused(byKill2, "the cable is pulled")
		if n := kill.broken(); n != 2 {
			t.Errorf("%d of 2 connections of a strict policy broke", n)
		}
	})
	step.Run("it is put in again", func(t *testing.T) {
		w.ISPs["isp2"].IP("link set up0 up")
		if via != "isp2" {
			w.ISPs["isp"+i].IP("link set up0 up")
		}
		w.waitArrives(byKill, "isp2")
	})
	step.Run("ordered down", func(t *testing.T) {
		w.router.must("uplink", "isp2", "down")
		if by := w.arrives(byFallback); by != "isp1" {
			t.Errorf("after an order a connection goes by %q", by)
		}
		w.refused(byKill2, "ordered down without a watch")
	})
	step.Run("ordered down, and applied: nothing leaked", func(t *testing.T) {
		w.router.write(strings.Replace(uplinkPolicy, "192.168.10.14", "192.168.10.16", 1))
		w.router.must("apply")
		if by := w.arrives(byFallback); by != "isp1" {
			t.Errorf("after an order and an apply a connection goes by %q", by)
		}
		w.refused(byKill2, "ordered down, and applied")
		w.noLeaks()
	})
}

// watchLeaks counts what the strict hosts send by the first provider, translated or not.
func (w *watched) watchLeaks() {
	w.t.Helper()
	w.Router.NFT(`table inet leaks { chain out { type filter hook postrouting priority -160; ` +
		`oifname "wan1" ip saddr { 192.168.10.12, 192.168.10.15 } counter comment "192.168.10.12"; ` +
		`oifname "wan1" ip saddr 192.168.10.13 counter comment "192.168.10.13"; oifname { "wan1", "wan3" } ` +
		`ip6 saddr 2001:db8:10::12 counter comment "v6"; }; }`)
}

func (w *watched) noLeaks() {
	w.t.Helper()
	for _, line := range strings.Split(w.Router.Run("nft", "list", "table", "inet", "leaks"), "\n") {
		if strings.Contains(line, "counter") && !strings.Contains(line, "packets 0 ") {
			w.t.Errorf("leaked: %s", strings.TrimSpace(line))
		}
	}
}
