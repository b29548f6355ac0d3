package lab

import (
	"net/netip"
	"testing"
)

func TestTwoHostsTalk(t *testing.T) {
	t.Parallel()
	n := Build(New(t), Spec{LANs: []LANSpec{LAN("lan", "br-lan", 10, 10, 11)}, ISPs: []ISPSpec{ISP(1)}})
	n.ISPs["isp1"].ServeInternet()
	n.Router.IP("route add default via 192.0.2.1")
	n.Router.IP6("route add default via 2001:db8:f1::1")
	lan := n.LANs["lan"]
	for _, row := range []struct{ network, src, dst string }{
		{"udp", "192.168.10.11", "8.8.8.8:53"},
		{"tcp", "192.168.10.10", "8.8.8.8:443"},
		{"udp", "2001:db8:10::11", "[2001:db8:ffff::1]:53"},
		{"tcp", "2001:db8:10::10", "[2001:db8:ffff::1]:443"},
	} {
		src := netip.MustParseAddr(row.src)
		c, err := lan.Dial(row.network, src, netip.MustParseAddrPort(row.dst), DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			seen, err := c.Ask()
			if err != nil {
				t.Fatalf("%s from %s: %v", row.network, src, err)
			}
			if seen.By != "isp1" || seen.Src != c.LocalAddr() || seen.Src.Addr() != src {
				t.Errorf("%s from %s: seen %+v, local address %s", row.network, src, seen, c.LocalAddr())
			}
		}
	}
	if !lan.Ping(netip.Addr{}, netip.MustParseAddr("9.9.9.9")) {
		t.Error("ping is not answered")
	}
}

func TestTunnelNeedsNoNeighbours(t *testing.T) {
	t.Parallel()
	tun := ISP(3)
	tun.Line = TunnelLine
	n := Build(New(t), Spec{LANs: []LANSpec{LAN("lan", "br-lan", 10, 10)}, ISPs: []ISPSpec{tun}})
	n.ISPs["isp3"].ServeInternet()
	n.Router.IP("route add default dev wan3")
	n.Router.IP6("route add default dev wan3")
	for _, dst := range []string{"8.8.8.8:53", "[2001:db8:ffff::1]:53"} {
		seen, err := n.Router.AskOnce("udp", netip.Addr{}, netip.MustParseAddrPort(dst), DialOptions{})
		if err != nil || seen.By != "isp3" {
			t.Errorf("%s: seen %+v, %v", dst, seen, err)
		}
	}
	// From a provider to the router and to a host behind it.
	n.Router.ServeEcho(2000)
	n.LANs["lan"].ServeEcho(2000)
	far := netip.MustParseAddr("8.8.4.4")
	for dst, by := range map[string]string{"203.0.113.2:2000": "router", "192.168.10.10:2000": "lan"} {
		seen, err := n.ISPs["isp3"].AskOnce("tcp", far, netip.MustParseAddrPort(dst), DialOptions{})
		if err != nil || seen.By != by || seen.Src.Addr() != far {
			t.Errorf("inbound to %s: seen %+v, %v", dst, seen, err)
		}
	}
}

func TestSilenceIsAnError(t *testing.T) {
	t.Parallel()
	n := Build(New(t), Spec{LANs: []LANSpec{LAN("lan", "br-lan", 10, 10)}, ISPs: []ISPSpec{ISP(1)}, Silent: true})
	n.Router.IP("route add default via 192.0.2.1")
	if seen, err := n.Router.AskOnce("udp", netip.Addr{}, netip.MustParseAddrPort("8.8.8.8:53"), DialOptions{}); err == nil {
		t.Errorf("a silent provider answered: %+v", seen)
	}
}
