package integration

import (
	"fmt"
	"net/netip"
	"testing"
)

// Users take the providers in turn and keep theirs for all that they do; while it is down the other
// one has them.
func TestNetworkPersistentSessions(t *testing.T) {
	t.Parallel()
	hosts := []int{11, 12, 13, 14, 15, 16}
	s := newScenario(t, "8-persistent-sessions", twoISPs(append([]int{10}, hosts...)...))
	s.serve("lan", "192.168.10.10")
	providers := []string{"isp1", "isp2"}
	var open []session
	dials := func(when, network, way string, wanted func(i int) string) {
		t.Helper()
		for i, h := range hosts {
			src, far := netip.MustParseAddr(fmt.Sprintf("192.168.10.%d", h)), netip.MustParseAddrPort("9.9.9.9"+way)
			o := s.open(network, src, far)
			if want := wanted(i); o.seen.By != want {
				t.Errorf("%s: user %d goes by %s, not by %s", when, h, o.seen.By, want)
			}
			open = append(open, o)
		}
		s.pinned(open[len(open)-len(hosts):])
	}
	inTurn := func(i int) string { return providers[i%2] }
	dials("first", "tcp", ":443", inTurn)
	dials("to another port", "udp", ":53", inTurn)
	s.router.must("apply")
	dials("after an apply", "tcp", ":80", inTurn)
	// A /64 is one user: all of the LAN's hosts share a provider.
	var by string
	for _, h := range hosts {
		o := s.open("tcp", netip.MustParseAddr(fmt.Sprintf("2001:db8:10::%d", h)), netip.MustParseAddrPort("[2001:db8:ffff::9]:443"))
		if by == "" {
			by = o.seen.By
		}
		if o.seen.By != by {
			t.Errorf("IPv6 user %d goes by %s, the ones before it by %s", h, o.seen.By, by)
		}
		open = append(open, o)
	}
	s.pinned(open[len(open)-len(hosts):])
	s.stay("at once", open, providers...)
	s.checkInbound(s.inboundRows("lan"))

	s.lineDown(s.Spec.ISPs[0])
	s.stay("while isp1 is down", open, "isp2")
	dials("while isp1 is down", "tcp", ":8443", func(int) string { return "isp2" })
	s.lineUp(s.Spec.ISPs[0])
	// The odd users' table has its own provider back, and they are still odd.
	dials("with isp1 up again", "tcp", ":8080", inTurn)
	s.noMarkedDownload()
}
