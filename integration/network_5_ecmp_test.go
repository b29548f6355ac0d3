package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"pbr/integration/lab"
)

// Two gateways share the connections; each connection stays on its path, also when the routes
// change.
func TestNetworkECMP(t *testing.T) {
	t.Parallel()
	s := newScenario(t, "5-ecmp", lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	s.serve("lan", "192.168.10.10")
	nat := map[string]string{"isp1": "192.0.2.2", "isp2": "198.51.100.2"}
	var open []session
	count := map[string]int{}
	// By destination address: the kernel's default hash for IPv4 looks at no ports.
	for i := range 40 {
		dst := netip.MustParseAddrPort(fmt.Sprintf("9.9.%d.9:443", i))
		network := []string{"tcp", "udp"}[i%2]
		c, err := s.LANs["lan"].Dial(network, netip.Addr{}, dst, lab.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		seen, err := c.Ask()
		if err != nil {
			t.Fatalf("%s to %s: %v", network, dst, err)
		}
		if seen.Src.Addr().String() != nat[seen.By] {
			t.Errorf("%s saw %s", seen.By, seen.Src)
		}
		count[seen.By]++
		open = append(open, s.session(network, c, seen, dst))
	}
	s.pinned(open)
	if count["isp1"] == 0 || count["isp2"] == 0 {
		t.Errorf("the load is not shared: %v", count)
	}
	stay := func(when string) {
		t.Helper()
		for _, m := range open {
			if again, err := m.conn.Ask(); err != nil || again != m.seen {
				t.Errorf("%s: a connection to %s of %s is now seen as %+v, %v", when, m.dst, m.seen.By, again, err)
			}
		}
	}
	stay("at once")
	s.checkInbound(s.inboundRows("lan"))
	// The share changes, by routes and by the hash; connections that are open do not care.
	s.router.Sysctl("net/ipv4/fib_multipath_hash_policy", "1")
	stay("with another hash")
	s.router.write(ecmpOneOnly)
	s.router.must("apply")
	stay("with one gateway left in the default")
	s.noMarkedDownload()
}

// ecmpOneOnly is 5-ecmp without sharing.
const ecmpOneOnly = `
[pbr]
offload = "off"
` + ispsIPv4 + `[default]
routes = [{ uplink = "isp2" }]
`
