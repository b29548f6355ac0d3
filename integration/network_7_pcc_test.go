package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"pbr/integration/lab"
)

// lineDown and lineUp take a provider's line away and give it back, with what the kernel forgets
// meanwhile.
func (s *scenario) lineDown(isp lab.ISPSpec) {
	s.t.Helper()
	s.router.IP("link set " + isp.Iface + " down")
	s.router.must("apply")
}

func (s *scenario) lineUp(isp lab.ISPSpec) {
	s.t.Helper()
	s.router.IP("link set "+isp.Iface+" up", fmt.Sprintf("addr replace %s dev %s nodad", isp.Router6, isp.Iface))
	s.router.must("apply")
	s.router.inSync()
}

func twoISPs(hosts ...int) lab.Spec {
	return lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, hosts...)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}}
}

// Each pair of addresses has one way, and a connection stays on its own through a failure of the
// other provider.
func TestNetworkPCC(t *testing.T) {
	t.Parallel()
	s := newScenario(t, "7-pcc", twoISPs(10, 11))
	s.serve("lan", "192.168.10.10")
	var open []session
	ways := map[netip.Addr]string{}
	count := map[string]int{}
	dials := func(v6 bool) {
		t.Helper()
		src, far := netip.MustParseAddr("192.168.10.11"), "9.9.%d.9"
		if v6 {
			src, far = netip.MustParseAddr("2001:db8:10::11"), "2001:db8:ffff::%d"
		}
		for i := range 40 {
			o := s.open([]string{"tcp", "udp"}[i%2], src, netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf(far, i/2)), uint16(443+i%2)))
			if way := ways[o.dst.Addr()]; way != "" && way != o.seen.By {
				t.Errorf("connections to %s go by %s and %s", o.dst.Addr(), way, o.seen.By)
			}
			ways[o.dst.Addr()] = o.seen.By
			count[o.seen.By]++
			open = append(open, o)
		}
		s.pinned(open[len(open)-40:])
	}
	dials(false)
	dials(true)
	if count["isp1"] < 10 || count["isp2"] < 10 {
		t.Errorf("the load is not shared: %v", count)
	}
	s.stay("at once", open, "isp1", "isp2")
	s.checkInbound(s.inboundRows("lan"))

	s.lineDown(s.Spec.ISPs[1])
	s.stay("while isp2 is down", open, "isp1")
	var later []session
	for i := range 20 {
		dst := netip.MustParseAddrPort(fmt.Sprintf("9.9.%d.9:80", i))
		o := s.open("tcp", netip.MustParseAddr("192.168.10.11"), dst)
		if o.seen.By != "isp1" {
			t.Errorf("while isp2 is down a connection to %s goes by %s", dst, o.seen.By)
		}
		later = append(later, o)
	}
	s.pinned(later)
	s.lineUp(s.Spec.ISPs[1])
	s.stay("with isp2 up again", open, "isp1")
	for i := range 20 {
		dst := netip.MustParseAddrPort(fmt.Sprintf("9.9.%d.9:8080", i))
		o := s.open("udp", netip.MustParseAddr("192.168.10.11"), dst)
		if o.seen.By != ways[dst.Addr()] {
			t.Errorf("with isp2 up again a connection to %s goes by %s, not by %s as before", dst, o.seen.By, ways[dst.Addr()])
		}
		later = append(later, o)
	}
	s.pinned(later[20:])
	s.noMarkedDownload()
}
