package integration

import (
	"testing"

	"pbr/integration/lab"
)

// Two special handlings and a default: marked at the first packet, first match wins, downloads
// never marked, connections from outside answered by the line they arrived on.
func TestNetworkHandlings(t *testing.T) {
	t.Parallel()
	s := newScenario(t, "1-handlings", lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 33, 50, 63)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2), lab.ISP(3)},
	})
	s.serve("lan", "192.168.10.10")
	s.check([]flow{
		{name: "default", from: "lan", network: "tcp", src: "192.168.10.10", dst: "9.9.9.9:443", isp: "isp1", nat: "192.0.2.2"},
		{name: "phone", from: "lan", network: "udp", src: "192.168.10.11", dst: "9.9.9.9:5060", isp: "isp2",
			nat: "198.51.100.2", pin: "isp2"},
		{name: "phone's last port", from: "lan", network: "udp", src: "192.168.10.11", dst: "9.9.9.9:20000",
			isp: "isp2", nat: "198.51.100.2", pin: "isp2"},
		{name: "past phone's last port", from: "lan", network: "udp", src: "192.168.10.11", dst: "9.9.9.9:20001",
			isp: "isp1", nat: "192.0.2.2"},
		{name: "phone by tcp", from: "lan", network: "tcp", src: "192.168.10.11", dst: "9.9.9.9:5060", isp: "isp1", nat: "192.0.2.2"},
		{name: "phone in the media room", from: "lan", network: "udp", src: "192.168.10.33", dst: "9.9.9.9:5061",
			isp: "isp2", nat: "198.51.100.2", pin: "isp2"},
		{name: "its web", from: "lan", network: "tcp", src: "192.168.10.33", dst: "9.9.9.9:443", isp: "isp3",
			nat: "203.0.113.2", pin: "isp3"},
		{name: "media room", from: "lan", network: "udp", src: "192.168.10.50", dst: "9.9.9.9:5061", isp: "isp3",
			nat: "203.0.113.2", pin: "isp3"},
		{name: "excepted from the media room", from: "lan", network: "udp", src: "192.168.10.63", dst: "9.9.9.9:443",
			isp: "isp1", nat: "192.0.2.2"},
		{name: "router itself", from: "router", network: "udp", dst: "9.9.9.9:5060", isp: "isp1", nat: "192.0.2.2"},
		{name: "router, bound to an address", from: "router", network: "udp", src: "203.0.113.2", dst: "9.9.9.9:5060",
			isp: "isp3", nat: "203.0.113.2", pin: "isp3"},
		{name: "router, bound to an interface", from: "router", network: "tcp", src: "198.51.100.2", dst: "9.9.9.9:5060",
			opt: lab.DialOptions{Device: "wan2"}, isp: "isp2", nat: "198.51.100.2", pin: "isp2"},
	})
	s.checkInbound(s.inboundRows("lan"))
	// Servers that a policy would send elsewhere still answer where the question came from.
	s.router.NFT("flush table ip nat\ndelete table ip nat\n" + portForwarding("192.168.10.50"))
	s.checkInbound(s.inboundRows("lan"))
	s.noMarkedDownload()
}
