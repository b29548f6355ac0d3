package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// A UDP flow that nobody answers stays "new" for the kernel. Its first packet pins it anyway, in
// the nat chain where there is translation and in the filter chain where there is none, and the
// rest follows, also once another policy decides.
func TestUnansweredFlowKeepsItsUplink(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"masquerade", "none"} {
		n := lab.Build(lab.New(t), lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11)},
			ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}})
		s := &scenario{Net: n, t: t, router: newRouter(n.Router)}
		policy := strings.ReplaceAll(twoUplinks, `nat = "masquerade"`, fmt.Sprintf("nat = %q", nat))
		s.router.apply(policy)
		s.readMarks()
		for _, isp := range n.ISPs {
			isp.NFT("table inet lost {\n\tcounter seen { }\n" +
				"\tchain in { type filter hook prerouting priority -300; udp dport 4242 counter name seen drop; }\n}\n")
		}
		seen := func(isp string) string {
			return packetsPattern.FindString(n.ISPs[isp].Run("nft", "list", "counter", "inet", "lost", "seen"))
		}
		lan := n.LANs["lan"]
		send := func(times int) {
			for _, host := range []string{"192.168.10.11", "2001:db8:10::11", "192.168.10.10"} {
				dst := netip.AddrPortFrom(netip.MustParseAddr("9.9.9.42"), 4242)
				if strings.Contains(host, ":") {
					dst = netip.AddrPortFrom(netip.MustParseAddr("2001:db8:ffff::42"), 4242)
				}
				for range times {
					if err := lan.SendUDP(netip.MustParseAddr(host), 4243, dst, 0, 0, 1); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		send(3)
		s.router.apply(strings.Replace(policy, "table = \"prefer-isp2\"", "default = true", 1))
		send(3)
		lab.WaitFor(t, "all packets where they belong, with nat "+nat,
			func() bool { return seen("isp2") == "packets 12" && seen("isp1") == "packets 6" })
	}
}
