package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"pbr/integration/lab"
)

func vpnSpec() lab.Spec {
	vpn := lab.ISP(3)
	vpn.Name, vpn.Iface, vpn.Line = "vpn", "tun0", lab.TunnelLine
	return lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 20)},
		ISPs: []lab.ISPSpec{lab.ISP(1), vpn},
	}
}

func TestNetworkVPN(t *testing.T) {
	t.Parallel()
	checkVPN(t, vpnSpec())
}

// checkVPN applies the policy of the VPN network: a tunnel for some, and nothing else for them.
// Nothing leaks when it is down.
func checkVPN(t *testing.T, spec lab.Spec) {
	s := newScenario(t, "4-vpn", spec)
	vpn4, vpn6, one4, one6 := "203.0.113.2", "2001:db8:f3::2", "192.0.2.2", "2001:db8:f1::2"
	others := []flow{
		{name: "other host", from: "lan", network: "tcp", src: "192.168.10.10", dst: "9.9.9.9:443", isp: "isp1", nat: one4},
		{name: "other host, IPv6", from: "lan", network: "tcp", src: "2001:db8:10::10", dst: "[2001:db8:ffff::9]:443",
			isp: "isp1", nat: one6},
		{name: "router", from: "router", network: "udp", dst: "9.9.9.9:53", isp: "isp1", nat: one4},
	}
	private := []flow{
		{name: "headquarters", from: "lan", network: "tcp", src: "192.168.10.10", dst: "10.99.1.1:443", isp: "vpn",
			nat: vpn4, pin: "vpn/strict"},
		{name: "headquarters, IPv6", from: "lan", network: "udp", src: "2001:db8:10::10", dst: "[2001:db8:99::1]:53",
			isp: "vpn", nat: vpn6, pin: "vpn/strict"},
		{name: "private host", from: "lan", network: "udp", src: "192.168.10.20", dst: "9.9.9.9:53", isp: "vpn",
			nat: vpn4, pin: "vpn/strict"},
		{name: "private host, IPv6", from: "lan", network: "tcp", src: "2001:db8:10::20", dst: "[2001:db8:ffff::9]:443",
			isp: "vpn", nat: vpn6, pin: "vpn/strict"},
		{name: "router to headquarters", from: "router", network: "udp", dst: "10.99.1.1:53", isp: "vpn", nat: vpn4, pin: "vpn/strict"},
	}
	s.check(others)
	s.check(private)
	s.noMarkedDownload()

	open, err := s.LANs["lan"].Dial("udp", netip.MustParseAddr("192.168.10.20"), netip.MustParseAddrPort("8.8.8.8:4000"),
		lab.DialOptions{Refusals: true})
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := open.Ask(); err != nil || seen.By != "vpn" {
		t.Fatalf("before the tunnel goes: %+v, %v", seen, err)
	}
	for _, how := range []string{"link set tun0 down", "link del tun0"} {
		s.Router.IP(how)
		for i := range private {
			private[i].name += ", after " + how
			private[i].isp, private[i].network = "", "udp"
			// Another port each time: nothing is to be had from connections that were open before.
			dst := netip.MustParseAddrPort(private[i].dst)
			private[i].dst = fmt.Sprint(netip.AddrPortFrom(dst.Addr(), dst.Port()+1))
		}
		s.check(private)
		s.check(others)
		if seen, err := open.Ask(); err == nil {
			t.Errorf("after %s the open connection goes on by %s", how, seen.By)
		}
		// A new apply knows that the tunnel is not there, and does not open a leak either.
		s.router.must("apply")
		s.check(private)
		s.check(others)
	}
}
