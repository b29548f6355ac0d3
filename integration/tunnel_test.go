package integration

import (
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// What carries a tunnel's packets does not bear their mark, and finds its own way: by the mark it
// would enter the tunnel again.
func TestTunnelIsNotRoutedIntoItself(t *testing.T) {
	t.Parallel()
	s := trapNet(t, "")
	tunnel := func(h *lab.Host, dev, local, remote, addr string) {
		h.IP("link add vx0 type vxlan id 7 local "+local+" remote "+remote+" dstport 4789 dev "+dev, "addr add "+
			addr+"/24 dev vx0", "link set vx0 up")
	}
	// The provider answers every port itself, but not the tunnel's.
	s.ISPs["isp1"].NFT("table inet own { chain pre { type filter hook prerouting priority raw; udp dport 4789 notrack; }; }")
	tunnel(s.ISPs["isp1"], "up0", "192.0.2.1", "192.0.2.2", "10.77.0.1")
	tunnel(s.Router, "wan1", "192.0.2.2", "192.0.2.1", "10.77.0.2")
	s.Router.NFT(`table inet watch {
	counter carried { }
	counter marked { }
	chain out { type filter hook postrouting priority 300
		udp dport 4789 counter name carried; udp dport 4789 meta mark & 0xff000000 != 0 counter name marked; }
}`)
	s.router.apply(twoUplinks + `
[[uplink]]
name = "vpn"
interface = "vx0"
nat = "masquerade"
[[policy]]
name = "tunnelled"
src = "192.168.10.12"
uplink = "vpn"
[[policy]]
name = "router"
from = "local"
dst = "9.9.9.8"
uplink = "vpn"
`)
	s.readMarks()
	s.check([]flow{
		{name: "tunnelled", from: "lan", network: "udp", src: "192.168.10.12", dst: "9.9.9.9:53", isp: "isp1",
			nat: "10.77.0.2", pin: "vpn"},
		{name: "tunnelled, tcp", from: "lan", network: "tcp", src: "192.168.10.12", dst: "9.9.9.9:443", isp: "isp1",
			nat: "10.77.0.2", pin: "vpn"},
		{name: "the router's own", from: "router", network: "udp", dst: "9.9.9.8:53", isp: "isp1", nat: "10.77.0.2", pin: "vpn"},
		{name: "others", from: "lan", network: "udp", src: "192.168.10.11", dst: "9.9.9.9:53", isp: "isp2",
			nat: "198.51.100.2", pin: "isp2"},
	})
	if s.counter("carried") == 0 {
		t.Error("nothing went through the tunnel")
	}
	if n := s.counter("marked"); n != 0 {
		t.Errorf("%d packets that carry the tunnel's bear a mark of ours", n)
	}
}

// A default route that a router announced outlives the switch to forwarding, and the uplink takes
// its gateway from it.
func TestAnnouncedGatewayOutlivesForwarding(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	s := &scenario{Net: n, t: t, router: newRouter(n.Router)}
	s.Router.Sysctl("net/ipv6/conf/all/forwarding", "0")
	s.Router.Sysctl("net/ipv6/conf/wan1/accept_ra", "1")
	learned := func() bool {
		return strings.Contains(s.Router.Run("ip", "-6", "route", "show", "default", "dev", "wan1"), "proto ra")
	}
	lab.WaitFor(t, "an announced default route", func() bool {
		if err := n.ISPs["isp1"].AnnounceRouter("up0"); err != nil {
			t.Fatal(err)
		}
		return learned()
	})
	s.router.apply(strings.Replace(strings.Replace(twoUplinks, "[pbr]", "[pbr]\nsysctl = true", 1),
		`gateway6 = "2001:db8:f1::1"`, `gateway6 = "auto"`, 1))
	step := steps.Of(t)
	step.Run("forwarding is on", func(t *testing.T) {
		if v := s.Router.ReadSysctl("net/ipv6/conf/all/forwarding"); v != "1" {
			t.Errorf("forwarding is %s", v)
		}
	})
	step.Run("the announced route is still there", func(t *testing.T) {
		if !learned() {
			t.Error("the announced default route is gone")
		}
		s.router.inSync()
	})
	step.Run("packets use it", func(t *testing.T) {
		s.readMarks()
		s.check([]flow{
			{name: "by the announced gateway", from: "lan", network: "udp", src: "2001:db8:10::10",
				dst: "[2001:db8:ffff::9]:53", isp: "isp1", nat: "2001:db8:f1::2"},
			{name: "by the other one", from: "lan", network: "udp", src: "2001:db8:10::11", dst: "[2001:db8:ffff::9]:53",
				isp: "isp2", nat: "2001:db8:f2::2", pin: "isp2"},
		})
	})
	step.Run("flush gives back the setting", func(t *testing.T) {
		s.router.must("flush")
		if v := s.Router.ReadSysctl("net/ipv6/conf/wan1/accept_ra"); v != "1" {
			t.Errorf("after flush accept_ra is %s", v)
		}
	})
}
