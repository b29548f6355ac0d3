package integration

import (
	"testing"

	"pbr/integration/lab"
)

// Two providers: per host, per subnet, per port, the router's own DNS, NAT per provider.
func TestNetworkDualISP(t *testing.T) {
	t.Parallel()
	s := newScenario(t, "2-dual-isp", lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 20), lab.LAN("guest", "br-guest", 20, 10)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	s.serve("lan", "192.168.10.10")
	one, two := "192.0.2.2", "198.51.100.2"
	s.check([]flow{
		{name: "host", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:123", isp: "isp2", nat: two, pin: "isp2"},
		{name: "another host", from: "lan", network: "udp", src: "192.168.10.11", dst: "9.9.9.9:123", isp: "isp1", nat: one},
		{name: "subnet", from: "guest", network: "udp", src: "192.168.20.10", dst: "9.9.9.9:123", isp: "isp2", nat: two, pin: "isp2"},
		{name: "port 443", from: "lan", network: "tcp", src: "192.168.10.11", dst: "9.9.9.9:443", isp: "isp2", nat: two, pin: "isp2"},
		{name: "port 443 of udp", from: "lan", network: "udp", src: "192.168.10.11", dst: "9.9.9.9:443", isp: "isp1", nat: one},
		{name: "before the ports", from: "lan", network: "tcp", src: "192.168.10.11", dst: "9.9.9.9:19", isp: "isp1", nat: one},
		{name: "first of the ports", from: "lan", network: "tcp", src: "192.168.10.11", dst: "9.9.9.9:20",
			isp: "isp2", nat: two, pin: "isp2"},
		{name: "last of the ports", from: "lan", network: "tcp", src: "192.168.10.11", dst: "9.9.9.9:22", isp: "isp2",
			nat: two, pin: "isp2"},
		{name: "after the ports", from: "lan", network: "tcp", src: "192.168.10.11", dst: "9.9.9.9:23", isp: "isp1", nat: one},
		{name: "kept on the default", from: "lan", network: "tcp", src: "192.168.10.20", dst: "9.9.9.9:443", isp: "isp1", nat: one},
		{name: "router's DNS", from: "router", network: "udp", dst: "9.9.9.9:53", isp: "isp2", nat: two, pin: "isp2"},
		{name: "router's DNS by tcp", from: "router", network: "tcp", dst: "9.9.9.9:53", isp: "isp2", nat: two, pin: "isp2"},
		{name: "router's web", from: "router", network: "tcp", dst: "9.9.9.9:443", isp: "isp1", nat: one},
		{name: "forwarded DNS", from: "lan", network: "udp", src: "192.168.10.11", dst: "9.9.9.9:53", isp: "isp1", nat: one},
	})
	s.checkInbound(s.inboundRows("lan"))
	s.noMarkedDownload()
}
