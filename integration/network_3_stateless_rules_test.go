package integration

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"pbr/integration/lab"
)

// Rules with priorities: a host before its network, lookup, lookup-only-in-table, drop, prohibit.
// What leaves through isp2 is pinned to it strictly, because one of the rules allows no other way.
func TestNetworkStatelessRules(t *testing.T) {
	t.Parallel()
	s := newScenario(t, "3-stateless-rules", lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 20), lab.LAN("guest", "br-guest", 20, 10, 11)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	s.check([]flow{
		{name: "no rule", from: "lan", network: "udp", src: "192.168.10.11", dst: "9.9.9.9:53", isp: "isp1", nat: "192.168.10.11"},
		{name: "net", from: "guest", network: "udp", src: "192.168.20.10", dst: "9.9.9.9:53", isp: "isp2",
			nat: "192.168.20.10", pin: "isp2/strict"},
		{name: "host before its net", from: "guest", network: "udp", src: "192.168.20.11", dst: "9.9.9.9:53",
			isp: "isp1", nat: "192.168.20.11"},
		{name: "closed", from: "lan", network: "udp", src: "192.168.10.11", dst: "100.100.7.7:53"},
		{name: "closed to the net too", from: "guest", network: "tcp", src: "192.168.20.10", dst: "100.100.7.7:53"},
		{name: "table has it", from: "lan", network: "udp", src: "192.168.10.20", dst: "9.9.9.9:53", isp: "isp2",
			nat: "192.168.10.20", pin: "isp2/strict"},
		{name: "table lacks it, only in table", from: "lan", network: "udp", src: "192.168.10.20", dst: "8.8.8.8:53"},
		{name: "table lacks it, falls through", from: "lan", network: "udp", src: "192.168.10.10", dst: "8.8.8.8:53",
			isp: "isp1", nat: "192.168.10.10"},
		{name: "rule without a number", from: "lan", network: "tcp", src: "192.168.10.11", dst: "8.8.8.8:25",
			isp: "isp2", nat: "192.168.10.11", pin: "isp2/strict"},
		{name: "other protocol", from: "lan", network: "udp", src: "192.168.10.11", dst: "8.8.8.8:25", isp: "isp1", nat: "192.168.10.11"},
	})
	// Each refusal has its own answer: prohibit is "administratively prohibited" (EACCES, or what
	// ICMP makes of it for another host), drop is silence.
	_, err := s.LANs["lan"].AskOnce("udp", netip.MustParseAddr("192.168.10.11"),
		netip.MustParseAddrPort("100.101.7.7:53"), lab.DialOptions{})
	if !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("a prohibited destination: %v", err)
	}
	// Between the networks of the LAN no rule counts.
	s.LANs["lan"].ServeEcho(serverPort)
	seen, err := s.LANs["guest"].AskOnce("tcp", netip.Addr{}, netip.MustParseAddrPort("192.168.10.11:2000"), lab.DialOptions{})
	if err != nil || seen.By != "lan" {
		t.Errorf("from guest to lan: %+v, %v", seen, err)
	}
	s.noMarkedDownload()
}
