package integration

import (
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/keep"
	"pbr/integration/lab"
	"pbr/integration/steps"
)

// ownPolicy sends what a host inside begins through the second provider, and counts it. The router
// judges sources.
const ownPolicy = `
[pbr]
sysctl = true
reverse-path = "nft"
` + ispsBoth + `[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[policy]]
name = "inside"
from = "br-lan"
uplink = "isp2"
`

// ownWatched is a router under ownPolicy.
type ownWatched struct {
	*watched
	wire *lab.Wire
	port uint16
}

// caught reports whether the policy counted a new connection of the host inside.
func (w *ownWatched) caught(src, dst string) bool {
	w.t.Helper()
	w.port++
	counter := func() string { return w.router.Run("nft", "list", "counter", "inet", "pbr", "policy-inside") }
	before := counter()
	lab.Pinned(w.t, func() error {
		err := w.wire.Send(lab.Packet{ID: uint64(w.port), Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst),
			Proto: lab.ProtoUDP, SPort: w.port, DPort: 9})
		if err != nil {
			return err
		}
		return w.wire.AwaitDelivery()
	})
	return counter() != before
}

// Packets to and from the router's own addresses are told from others while pbr watch keeps these
// in sets, when addresses come and go, and when nobody keeps them any more.
func TestOwnAddressesFollowTheMachine(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}, Silent: true})
	w := &ownWatched{watched: &watched{Net: n, t: t, router: newRouter(n.Router), log: &monitor{}}, wire: n.Wires()["lan"], port: 30000}
	w.router.write(ownPolicy)
	t.Cleanup(func() {
		if w.cmd != nil {
			w.kill()
		}
	})
	inside := map[bool]string{false: "192.168.10.10", true: "2001:db8:10::10"}
	check := func(t *testing.T, when string, want bool, addrs ...string) {
		t.Helper()
		for _, addr := range addrs {
			six := strings.Contains(addr, ":")
			if got := w.caught(inside[six], addr); got != want {
				t.Errorf("%s: a connection to %s was caught by the policy: %v", when, addr, got)
			}
			outside := map[bool]string{false: "9.9.9.9", true: "2001:db8:ffff::9"}[six]
			if got := w.caught(addr, outside); got != want {
				t.Errorf("%s: a connection that claims to be of %s was caught by the policy: %v", when, addr, got)
			}
		}
	}
	inSet := func(family, addr string) bool {
		return strings.Contains(w.router.Run("nft", "list", "set", "inet", "pbr", "own-"+family), addr)
	}
	own := []string{"192.168.10.1", "192.0.2.2", "2001:db8:10::1", "2001:db8:f2::2"}
	foreign := []string{"9.9.9.8", "2001:db8:ffff::8"}

	step := steps.Of(t)
	step.Run("at first", func(t *testing.T) {
		w.start()
		lab.WaitFor(t, "own addresses to be kept", func() bool { return keep.OwnKept(w.Router) })
		check(t, "at first", false, append(own, "192.168.10.255", "2001:db8:10::")...)
		check(t, "at first", true, append(foreign, "203.0.113.5", "2001:db8:77::5")...)
	})
	step.Run("addresses that come are in the sets, those that go do no harm", func(t *testing.T) {
		w.Router.IP("addr add 203.0.113.5/32 dev br-lan")
		w.Router.IP6("addr add 2001:db8:77::5/128 dev wan1 nodad")
		lab.WaitFor(t, "new addresses to be in the sets", func() bool { return inSet("4", "203.0.113.5") && inSet("6", "2001:db8:77::5") })
		check(t, "with new addresses", false, append(own, "203.0.113.5", "2001:db8:77::5")...)
		w.router.inSync()
		w.Router.IP("addr del 203.0.113.5/32 dev br-lan")
		check(t, "without an address that may still be in the set", true, append(foreign, "203.0.113.5")...)
	})

	step.Run("a whole network of its own leaves that version to the kernel", func(t *testing.T) {
		w.Router.IP("route add local 203.0.113.0/24 dev lo")
		lab.WaitFor(t, "IPv4 to be left to the kernel", func() bool { return !keep.OwnKept(w.Router) })
		check(t, "with a whole network of its own", false, append(own, "203.0.113.77")...)
		check(t, "with a whole network of its own", true, foreign...)
	})

	lab.WaitFor(t, "the sign that IPv6 is whole to end by itself", func() bool {
		return strings.Contains(w.router.Run("nft", "list", "set", "inet", "pbr", "own-known"), "ipv6 timeout 15s")
	})
	step.Run("after pbr watch the kernel is asked", func(t *testing.T) {
		w.kill()
		w.Router.IP("route del local 203.0.113.0/24 dev lo")
		w.start()
		lab.WaitFor(t, "own addresses to be kept again", func() bool { return keep.OwnKept(w.Router) })
		w.stop()
		check(t, "after pbr watch", false, own...)
		check(t, "after pbr watch", true, foreign...)
		if known := w.router.Run("nft", "list", "set", "inet", "pbr", "own-known"); strings.Contains(known, "expires") {
			t.Errorf("the sets of a watch that has ended count as whole:\n%s", known)
		}
	})
	step.Run("what came and went was not drift", func(t *testing.T) {
		if strings.Contains(w.log.text(), "drift") {
			t.Error("an address that came or went is drift")
		}
	})
}
