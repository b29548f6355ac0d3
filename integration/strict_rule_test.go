package integration

import (
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// A connection that a rule led to a strict table stays there: when its link goes and nobody
// watches, it is unreachable, and leaves through no other uplink. Masquerade would end it by
// itself; static source NAT, and none, do not.
func TestRuleToStrictTable(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"198.51.100.2", "none"} {
		for _, action := range []string{"lookup", "lookup-only-in-table"} {
			t.Run(nat+" "+action, func(t *testing.T) {
				t.Parallel()
				testRuleToStrictTable(t, nat, action)
			})
		}
	}
}

func testRuleToStrictTable(t *testing.T, nat, action string) {
	s := trapNet(t, "")
	first, second, _ := strings.Cut(strings.ReplaceAll(twoUplinks, `nat = "masquerade"`, `nat = "none"`), `name = "isp2"`)
	s.router.apply(first + `name = "isp2"` + strings.Replace(second, `nat = "none"`, `nat = "`+nat+`"`, 1) + `
[[table]]
name = "secret"
strict = true
routes = { uplink = "isp2" }
[[rule]]
name = "kill"
src = "192.168.10.12"
table = "secret"
action = "` + action + `"
`)
	s.ISPs["isp1"].NFT("table inet leak { chain in { type filter hook prerouting priority -300; ip daddr 9.9.9.9 counter; }; }")
	src, dst := netip.MustParseAddr("192.168.10.12"), netip.MustParseAddrPort("9.9.9.9:53")
	var running []*lab.Conn
	for _, network := range []string{"udp", "tcp"} {
		c, err := s.LANs["lan"].Dial(network, src, dst, lab.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if seen, err := c.Ask(); err != nil || seen.By != "isp2" {
			t.Fatalf("%s: answered by %q, %v", network, seen.By, err)
		}
		running = append(running, c)
	}
	s.router.IP("link set wan2 down")
	for _, c := range running {
		if seen, err := c.Ask(); err == nil {
			t.Errorf("answered by %q without its uplink", seen.By)
		}
	}
	if seen, err := s.LANs["lan"].AskOnce("udp", src, dst, lab.DialOptions{}); err == nil {
		t.Errorf("a new connection is answered by %q without its uplink", seen.By)
	}
	if out := s.ISPs["isp1"].Run("nft", "list", "table", "inet", "leak"); !strings.Contains(out, "packets 0 bytes 0") {
		t.Errorf("packets left by default:\n%s", out)
	}
}
