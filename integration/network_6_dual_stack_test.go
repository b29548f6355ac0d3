package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"pbr/integration/lab"
)

// Both families by one policy; a provider without IPv6 is passed over, or is a wall if its table is
// strict.
func TestNetworkDualStack(t *testing.T) {
	t.Parallel()
	s := newScenario(t, "6-dual-stack", lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 20)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2), lab.ISP(3)},
	})
	s.serve("lan", "192.168.10.10")
	far := "2001:db8:ffff::9"
	one4, two4, three4, one6, three6 := "192.0.2.2", "198.51.100.2", "203.0.113.2", "2001:db8:f1::2", "2001:db8:f3::2"
	s.check([]flow{
		{name: "default", from: "lan", network: "tcp", src: "192.168.10.10", dst: "8.8.8.8:443", isp: "isp1", nat: one4},
		{name: "default, IPv6", from: "lan", network: "tcp", src: "2001:db8:10::10", dst: "[" + far + "]:443", isp: "isp1", nat: one6},
		{name: "port", from: "lan", network: "udp", src: "192.168.10.10", dst: "8.8.8.8:3478", isp: "isp3", nat: three4, pin: "isp3"},
		{name: "port, IPv6", from: "lan", network: "udp", src: "2001:db8:10::10", dst: "[" + far + "]:3478",
			isp: "isp3", nat: three6, pin: "isp3"},
		{name: "destination", from: "lan", network: "tcp", src: "192.168.10.10", dst: "9.9.9.9:443", isp: "isp3", nat: three4, pin: "isp3"},
		{name: "destination, IPv6", from: "lan", network: "tcp", src: "2001:db8:10::10", dst: "[2001:db8:ff09::9]:443",
			isp: "isp3", nat: three6, pin: "isp3"},
		{name: "for IPv6 only", from: "lan", network: "tcp", src: "192.168.10.10", dst: "8.8.8.8:8080", isp: "isp1", nat: one4},
		{name: "for IPv6 only, IPv6", from: "lan", network: "tcp", src: "2001:db8:10::10", dst: "[" + far + "]:8080",
			isp: "isp3", nat: three6, pin: "isp3"},
		{name: "half", from: "lan", network: "tcp", src: "192.168.10.11", dst: "8.8.8.8:443", isp: "isp2", nat: two4, pin: "isp2"},
		// Classified, and passed over by its table: it left by the primary, and stays there.
		{name: "half, IPv6", from: "lan", network: "tcp", src: "2001:db8:10::11", dst: "[" + far + "]:443",
			isp: "isp1", nat: one6, pin: "isp1"},
		{name: "half strict", from: "lan", network: "tcp", src: "192.168.10.20", dst: "8.8.8.8:443", isp: "isp2",
			nat: two4, pin: "isp2/strict"},
		{name: "half strict, IPv6", from: "lan", network: "udp", src: "2001:db8:10::20", dst: "[" + far + "]:443"},
		{name: "router bound to an IPv6 address", from: "router", network: "udp", src: three6, dst: "[" + far +
			"]:53", isp: "isp3", nat: three6, pin: "isp3"},
	})
	s.pings()
	rows := s.inboundRows("lan")
	for _, isp := range []string{"isp1", "isp3"} {
		n := isp[3:]
		for _, network := range []string{"tcp", "udp"} {
			for dst, by := range map[string]string{
				fmt.Sprintf("[2001:db8:f%s::2]:2000", n): "router",
				"[2001:db8:10::10]:2000":                 "lan",
			} {
				rows = append(rows, inbound{name: network + " from " + isp + " to " + dst, isp: isp, network: network,
					src: "2001:db8:eeee::1", dst: dst, by: by})
			}
		}
	}
	s.checkInbound(rows)
	s.noMarkedDownload()
}

// pings sends echo requests of both families, which a policy of their own sends to the third
// provider.
func (s *scenario) pings() {
	s.t.Helper()
	for family, row := range map[string]struct{ src, dst string }{
		"ipv4": {"192.168.10.10", "8.8.8.8"},
		"ipv6": {"2001:db8:10::10", "2001:db8:ffff::9"},
	} {
		if !s.LANs["lan"].Ping(netip.MustParseAddr(row.src), netip.MustParseAddr(row.dst)) {
			s.t.Errorf("ping to %s is not answered", row.dst)
			continue
		}
		proto := map[string]string{"ipv4": "icmp", "ipv6": "icmpv6"}[family]
		out := s.router.Run("conntrack", "-L", "-f", family, "-p", proto, "-d", row.dst)
		if want := fmt.Sprintf("mark=%d", s.pin("isp3")); !containsField(out, want) {
			s.t.Errorf("ping to %s: no %s in\n%s", row.dst, want, out)
		}
	}
}
