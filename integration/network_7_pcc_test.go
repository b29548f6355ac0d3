package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"pbr/integration/lab"
)

// session is an open connection, and who answered it first.
type session struct {
	conn *lab.Conn
	seen lab.Seen
	dst  netip.AddrPort
}

// open opens a connection from a LAN and asks; the provider has to see the address of its own line,
// and the connection has to be pinned to it.
func (s *scenario) open(network string, src netip.Addr, dst netip.AddrPort) session {
	s.t.Helper()
	c, err := s.LANs["lan"].Dial(network, src, dst, lab.DialOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	seen, err := c.Ask()
	if err != nil {
		s.t.Fatalf("%s from %s to %s: %v\n%s", network, src, dst, err, s.state(dst))
	}
	for _, isp := range s.Spec.ISPs {
		if isp.Name == seen.By && seen.Src.Addr() != isp.Router4.Addr() && seen.Src.Addr() != isp.Router6.Addr() {
			s.t.Errorf("%s saw %s", seen.By, seen.Src)
		}
	}
	if got := s.ctMark(network, c.LocalAddr(), dst); got != s.pin(seen.By) || got == 0 {
		s.t.Errorf("a connection by %s has ct mark 0x%08x", seen.By, got)
	}
	return session{c, seen, dst}
}

// stay asks again on each connection of the named providers; the answer has to be the same.
func (s *scenario) stay(when string, open []session, of ...string) {
	s.t.Helper()
	for _, o := range open {
		for _, isp := range of {
			if o.seen.By != isp {
				continue
			}
			if again, err := o.conn.Ask(); err != nil || again != o.seen {
				s.t.Errorf("%s: a connection to %s by %s is now seen as %+v, %v", when, o.dst, o.seen.By, again, err)
			}
		}
	}
}

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
	for i := range 20 {
		dst := netip.MustParseAddrPort(fmt.Sprintf("9.9.%d.9:80", i))
		if o := s.open("tcp", netip.MustParseAddr("192.168.10.11"), dst); o.seen.By != "isp1" {
			t.Errorf("while isp2 is down a connection to %s goes by %s", dst, o.seen.By)
		}
	}
	s.lineUp(s.Spec.ISPs[1])
	s.stay("with isp2 up again", open, "isp1")
	for i := range 20 {
		dst := netip.MustParseAddrPort(fmt.Sprintf("9.9.%d.9:8080", i))
		if o := s.open("udp", netip.MustParseAddr("192.168.10.11"), dst); o.seen.By != ways[dst.Addr()] {
			t.Errorf("with isp2 up again a connection to %s goes by %s, not by %s as before", dst, o.seen.By, ways[dst.Addr()])
		}
	}
	s.noMarkedDownload()
}
