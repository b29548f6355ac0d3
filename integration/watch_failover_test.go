package integration

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// streamPace is between two packets of a stream.
const streamPace = 2 * time.Millisecond

// The target beyond the first provider dies, its gateway and all else answer: default moves to the
// second, and returns. Running connections of the second provider stay through all of it, also
// those that began while it was default; inbound ones by the first work whether it is in use or
// not.
func TestWatchTargetDies(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.Router.ServeEcho(serverPort)
	first, second := w.calls(5, byDefault, "isp1"), w.calls(5, bySecond, "isp2")
	stream := w.lan.Stream(byDefault, farEnd, streamPace)
	w.waitAnswered(stream, "isp1")

	w.dead("isp1", "9.9.9.9")
	w.waitAnswered(stream, "isp2")
	w.waitArrives(byDefault, "isp2")
	w.logged("flushed connections", "isp1")
	broken := first.broken()
	if broken != 5 {
		t.Errorf("%d of 5 connections by the dead provider were flushed", broken)
	}
	second.stillUp("isp1 down")
	during := w.calls(5, byDefault, "isp2")
	inbound := w.fromOutside("isp1")
	if code := w.router.pbr("status").Code; code != 3 {
		t.Errorf("pbr status: exit status %d with an uplink down", code)
	}
	w.router.inSync()

	step := steps.Of(t)
	step.Run("it is back: nothing that runs is moved", func(t *testing.T) {
		w.alive("isp1", "9.9.9.9")
		w.waitState("isp1", "up")
		w.waitArrives(byDefault, "isp1")
		during.stillUp("isp1 back: begun by isp2 meanwhile")
		second.stillUp("isp1 back")
		inbound.stillUp("isp1 back: from outside")
	})
	tale := stream.Stop()
	if tale.Last != "isp2" {
		t.Errorf("the stream was pulled to %s when isp1 came back", tale.Last)
	}
	t.Logf("stream: %v; connections broken: %d by the dead provider, 0 others", tale, broken)
	w.router.inSync()
}

// The gateway itself falls silent, ARP and all, and is checked in each way that asks it.
func TestWatchGatewayDies(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"ping", "arp"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := startWatched(t, strings.Replace(watchPolicy, `check = { method = "ping", targets = "9.9.9.9" }`,
				`check = "`+method+`"`, 1), 2)
			second := w.calls(3, bySecond, "isp2")
			stream := w.lan.Stream(byDefault, farEnd, streamPace)
			w.waitAnswered(stream, "isp1")
			w.silence("isp1")
			w.waitAnswered(stream, "isp2")
			w.speak("isp1")
			w.waitState("isp1", "up")
			w.waitArrives(byDefault, "isp1")
			second.stillUp("isp1 gone and back")
			t.Logf("stream: %v; no connection by the other provider broke", stream.Stop())
		})
	}
}

// Half of the targets: enough where the quorum is 1, not enough where it is 2.
func TestWatchHalfOfTheTargets(t *testing.T) {
	t.Parallel()
	both := `targets = ["9.9.9.9", "8.8.8.8"], quorum = `
	policy := strings.Replace(watchPolicy, `targets = "9.9.9.9"`, both+"1", 1)
	policy = strings.Replace(policy, `targets = "9.9.9.9"`, both+"2", 1)
	w := startWatched(t, policy, 2)
	first := w.calls(3, byDefault, "isp1")
	w.dead("isp1", "8.8.8.8")
	w.dead("isp2", "8.8.8.8")
	w.waitState("isp2", "down")
	w.waitArrives(bySecond, "isp1")
	if s := w.state("isp1"); s != "up" {
		t.Errorf("with one of its two targets isp1 is %s", s)
	}
	first.stillUp("half of the targets dead")
}

// Every second probe is lost: the provider takes no new connections, and keeps those it has.
func TestWatchLoss(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(watchPolicy, "up-after = 2\n", "up-after = 2\nmax-loss = \"20%\"\nover = 6\n", 1)
	w := startWatched(t, policy, 2)
	first := w.calls(5, byDefault, "isp1")
	w.ISPs["isp1"].NFT("table inet loss { chain pre { type filter hook prerouting priority -340; " +
		"ip daddr 9.9.9.9 numgen inc mod 2 0 drop; }\n}\n")
	w.waitState("isp1", "degraded")
	w.waitArrives(byDefault, "isp2")
	first.stillUp("isp1 degraded")
	if x := w.router.must("explain", byDefault.String(), "9.9.9.9:443/tcp"); !matches(`isp1.* is degraded since .*: loss of \d+ %`, unfolded(x)) {
		t.Errorf("explain does not say why isp1 is degraded:\n%s", x)
	}
	if text := w.router.pbr("status").Stdout; !matches(`(?m)^isp1 .*degraded.*loss of \d+ %`, text) {
		t.Errorf("pbr status does not say why isp1 is degraded:\n%s", text)
	}
	w.ISPs["isp1"].NFT("delete table inet loss\n")
	w.waitState("isp1", "up")
	w.waitArrives(byDefault, "isp1")
	first.stillUp("isp1 up again")
	t.Log("0 of 5 connections broke")
}

// The carrier goes, then the interface is set down, then it is deleted and made again: each
// moves traffic at once, and all that the kernel dropped with it comes back.
func TestWatchLinkDown(t *testing.T) {
	t.Parallel()
	w := startWatched(t, strings.Replace(watchPolicy, "up-after = 2", "up-after = 1", 1), 2)
	second := w.calls(3, bySecond, "isp2")
	for _, trouble := range []struct {
		name      string
		off, on   func()
		quickness time.Duration
	}{
		{"carrier", func() { w.ISPs["isp1"].IP("link set up0 down") }, func() {
			w.ISPs["isp1"].IP("link set up0 up")
			w.ISPs["isp1"].IP6("addr replace 2001:db8:f1::1/64 dev up0")
		}, time.Second},
		{"switched off", func() { w.Router.IP("link set wan1 down") }, func() {
			w.Router.IP("link set wan1 up", "addr replace 2001:db8:f1::2/64 dev wan1")
		}, time.Second},
		{"address taken", func() { w.Router.IP("addr flush dev wan1 scope global") }, func() {
			w.Router.IP("addr add 192.0.2.2/24 dev wan1", "addr add 2001:db8:f1::2/64 dev wan1")
		}, time.Second},
		{"deleted", func() { w.Router.IP("link del wan1") }, func() {
			w.Veth(w.Router, "wan1", w.ISPs["isp1"], "up0")
			w.Router.IP("addr add 192.0.2.2/24 dev wan1", "addr add 2001:db8:f1::2/64 dev wan1")
			w.ISPs["isp1"].IP("addr add 192.0.2.1/24 dev up0", "addr add 2001:db8:f1::1/64 dev up0")
		}, time.Second},
	} {
		w.waitArrives(byDefault, "isp1")
		stream := w.lan.Stream(byDefault, farEnd, time.Millisecond)
		w.waitAnswered(stream, "isp1")
		trouble.off()
		w.waitAnswered(stream, "isp2")
		tale := stream.Stop()
		if tale.Gap > trouble.quickness {
			t.Errorf("%s: silence of %v", trouble.name, tale.Gap)
		}
		t.Logf("%s: stream of a packet a millisecond: %v", trouble.name, tale)
		second.stillUp(trouble.name)
		trouble.on()
		w.waitState("isp1", "up")
		lab.WaitFor(t, "all to be back after "+trouble.name, func() bool { return w.router.pbr("diff").Code == 0 })
	}
}

// An uplink that goes down again and again waits longer and longer.
func TestWatchFlapping(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	second := w.calls(3, bySecond, "isp2")
	var waits []time.Duration
	for range 4 {
		w.dead("isp1", "9.9.9.9")
		w.waitState("isp1", "down")
		w.alive("isp1", "9.9.9.9")
		began := time.Now()
		w.waitState("isp1", "up")
		waits = append(waits, time.Since(began).Round(10*time.Millisecond))
	}
	if waits[3] < waits[0]+300*time.Millisecond {
		t.Errorf("it waited %v before it was up again", waits)
	}
	second.stillUp("isp1 flapping")
	t.Logf("down %d times, up again after %v; no connection by the other provider broke", len(waits), waits)
}

// threeProviders is watchPolicy with a third provider as default's last.
var threeProviders = strings.Replace(watchPolicy, `{ uplink = "isp2", distance = 2 }]
[[policy]]`, `{ uplink = "isp2", distance = 2 }, { uplink = "isp3", distance = 3 }]
[[uplink]]
name = "isp3"
interface = "wan3"
gateway = "203.0.113.1"
nat = "masquerade"
check = { method = "ping", targets = "9.9.9.9" }
[[policy]]`, 1)

// Two die, then all: the last one keeps its routes, and nothing is flushed; a strict table is
// unreachable.
func TestWatchAllDown(t *testing.T) {
	t.Parallel()
	w := startWatched(t, threeProviders, 3)
	w.Router.Sysctl("net/ipv4/icmp_ratelimit", "0") // each refused packet is to be reported
	strict := w.calls(2, byStrict, "isp2")
	stream := w.lan.Stream(byDefault, farEnd, streamPace)
	w.waitAnswered(stream, "isp1")
	// In this order: who dies last keeps the routes, and the connections, of a table that has no
	// other uplink left.
	w.dead("isp2", "9.9.9.9")
	w.waitState("isp2", "down")
	w.dead("isp1", "9.9.9.9")
	w.waitAnswered(stream, "isp3")
	t.Logf("two of three: %v", stream.Stop())
	if n := strict.broken(); n != 2 {
		t.Errorf("%d of 2 strict connections were flushed", n)
	}
	// A busy socket overhears what it is told by ICMP: try again.
	lab.WaitFor(t, "strict to be told that nothing is reachable", func() bool {
		seen, err := w.lan.AskOnce("tcp", byStrict, farEnd, lab.DialOptions{})
		if err == nil {
			t.Errorf("strict went out by %s", seen.By)
		}
		return err == nil || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
	})

	last := w.calls(5, byDefault, "isp3")
	quiet := w.lan.Stream(byDefault, farEnd, streamPace)
	w.waitAnswered(quiet, "isp3")
	w.dead("isp3", "9.9.9.9") // a wrong verdict: everything else still works
	w.waitState("isp3", "down")
	w.waitArrives(byDefault, "isp3")
	w.waitArrives(bySecond, "isp1") // the last one of its own table
	last.stillUp("all down")
	tale := quiet.Stop()
	if tale.Lost() > 0 {
		t.Errorf("all down: %v", tale)
	}
	t.Logf("all down: %v, 0 of 5 connections broke", tale)
	w.router.inSync()

	w.alive("isp2", "9.9.9.9")
	w.waitState("isp2", "up")
	w.waitArrives(byStrict, "isp2")
	w.waitArrives(byDefault, "isp2")
	w.logged("flushed connections", "isp3")
	if n := last.broken(); n != 5 {
		t.Errorf("isp2 back: %d of 5 connections by dead isp3 were flushed", n)
	}
}

// IPv6 alone is checked, and both versions move.
func TestWatchIPv6(t *testing.T) {
	t.Parallel()
	far6 := "2001:db8:fffe::9"
	w := startWatched(t, strings.Replace(watchPolicy, `targets = "9.9.9.9"`, `targets = "`+far6+`"`, 1), 2)
	src6 := netip.MustParseAddr("2001:db8:10::10")
	first := w.calls(3, src6, "isp1")
	stream := w.lan.Stream(src6, netip.MustParseAddrPort("[2001:db8:ffff::99]:7777"), streamPace)
	w.waitAnswered(stream, "isp1")
	w.dead("isp1", far6)
	w.waitAnswered(stream, "isp2")
	w.waitArrives(src6, "isp2")
	w.waitArrives(byDefault, "isp2")
	broken := first.broken()
	if broken != 3 {
		t.Errorf("%d of 3 connections were flushed", broken)
	}
	during := w.calls(3, src6, "isp2")
	w.alive("isp1", far6)
	w.waitState("isp1", "up")
	w.waitArrives(src6, "isp1")
	during.stillUp("isp1 back")
	t.Logf("stream: %v; %d of 3 connections by the dead provider broke, 0 others", stream.Stop(), broken)
}

// An uplink that loses its addresses of one IP version is left by that version at once, and keeps
// the other: masquerade would send packets with another interface's address.
func TestWatchOneFamilyLosesItsAddress(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	src6 := netip.MustParseAddr("2001:db8:10::10")
	for _, trouble := range []struct {
		name, off, on    string
		leaves, stays    netip.Addr
		waiting, missing string
	}{
		{"IPv4", "addr del 192.0.2.2/24 dev wan1", "addr add 192.0.2.2/24 dev wan1", byDefault, src6,
			"uplink isp1 deferred", "wan1 has no IPv4 address"},
		{"IPv6", "addr del 2001:db8:f1::2/64 dev wan1", "addr add 2001:db8:f1::2/64 dev wan1", src6, byDefault,
			"uplink isp1 deferred", "wan1 has no IPv6 address"},
	} {
		w.waitArrives(trouble.leaves, "isp1")
		w.waitArrives(trouble.stays, "isp1")
		w.Router.IP(trouble.off)
		w.waitArrives(trouble.leaves, "isp2")
		w.waitArrives(trouble.stays, "isp1")
		w.logged(trouble.waiting, trouble.missing)
		w.Router.IP(trouble.on)
		w.waitArrives(trouble.leaves, "isp1")
		lab.WaitFor(t, "all to be back after "+trouble.name, func() bool { return w.router.pbr("diff").Code == 0 })
	}
}

// A gateway "auto" that changes, as a lease does, is followed at once.
func TestWatchGatewayChanges(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(watchPolicy, `gateway = "192.0.2.1"`, `gateway = "auto"`, 1)
	w := newWatched(t, policy, 2)
	w.ISPs["isp1"].IP("addr add 192.0.2.254/24 dev up0")
	w.Router.IP("route add default via 192.0.2.1 dev wan1 metric 50")
	w.start()
	w.waitState("isp1", "up")
	first := w.calls(3, byDefault, "isp1")
	stream := w.lan.Stream(byDefault, farEnd, streamPace)
	w.waitAnswered(stream, "isp1")
	w.Router.IP("route replace default via 192.0.2.254 dev wan1 metric 50")
	lab.WaitFor(t, "the new gateway to be in use", func() bool {
		routes := w.router.Run("ip", "route", "show", "table", "all", "proto", ownProtocol)
		return strings.Contains(routes, "via 192.0.2.254") && !strings.Contains(routes, "via 192.0.2.1 ")
	})
	w.router.inSync()
	first.stillUp("the gateway changed")
	// Gone, as when a lease ends; and another address and gateway, as when one begins.
	w.Router.IP("addr flush dev wan1 scope global")
	w.waitAnswered(stream, "isp2")
	w.ISPs["isp1"].IP("addr add 192.0.3.1/24 dev up0")
	w.Router.IP("addr add 192.0.3.2/24 dev wan1", "route add default via 192.0.3.1 dev wan1 metric 50",
		"addr add 2001:db8:f1::2/64 dev wan1")
	w.waitState("isp1", "up")
	w.waitArrives(byDefault, "isp1")
	lab.WaitFor(t, "all to follow", func() bool { return w.router.pbr("diff").Code == 0 })
	if rules := w.router.Run("ip", "rule"); !strings.Contains(rules, "from 192.0.3.2") || strings.Contains(rules, "from 192.0.2.2 ") {
		t.Errorf("source rules did not follow:\n%s", rules)
	}
	t.Logf("stream: %v", stream.Stop())
}

// An uplink that carries IPv6 alone fails and returns: IPv4 connections, all by the other one,
// notice nothing.
func TestWatchIPv6OnlyUplink(t *testing.T) {
	t.Parallel()
	far6 := "2001:db8:fffe::9"
	policy := strings.Replace(watchPolicy, "gateway = \"198.51.100.1\"\n", "", 1)
	policy = strings.Replace(policy, "nat = \"198.51.100.2\"\ncheck = { method = \"ping\", targets = \"9.9.9.9\" }",
		"nat = \"masquerade\"\ncheck = { method = \"ping\", targets = \""+far6+"\" }", 1)
	policy = strings.Replace(policy, `routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]`,
		`routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]`, 1)
	w := startWatched(t, policy, 2)
	src6 := netip.MustParseAddr("2001:db8:10::10")
	v4, v6 := w.calls(3, byDefault, "isp1"), w.calls(3, src6, "isp2")
	stream := w.lan.Stream(byDefault, farEnd, streamPace)
	w.waitAnswered(stream, "isp1")
	w.dead("isp2", far6)
	w.waitState("isp2", "down")
	w.waitArrives(src6, "isp1")
	w.logged("flushed connections", "isp2")
	if n := v6.broken(); n != 3 {
		t.Errorf("%d of 3 IPv6 connections by the dead provider were flushed", n)
	}
	v4.stillUp("isp2 down")
	during := w.calls(3, src6, "isp1")
	w.alive("isp2", far6)
	w.waitState("isp2", "up")
	w.waitArrives(src6, "isp2")
	during.stillUp("isp2 back")
	v4.stillUp("isp2 back")
	if tale := stream.Stop(); tale.Lost() > 0 {
		t.Errorf("IPv4: %v", tale)
	}
	w.router.inSync()
}
