package integration

import (
	"net/netip"
	"testing"

	"pbr/integration/lab"
)

// Routes of equal distance share new connections by weight in both families; those that run stay
// where they are, through the failure of another one and its return.
func TestECMPByWeight(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 3)
	c.router.apply(c.policy(`
[[table]]
name = "shared"
routes = [{ uplink = "isp1", weight = 3 }, { uplink = "isp2" }, { uplink = "isp3", weight = 2 }]
[[policy]]
name = "all"
from = "br-lan"
table = "shared"
`))
	c.router.inSync()
	far := map[bool]netip.Addr{false: netip.MustParseAddr("9.9.9.9"), true: netip.MustParseAddr("2001:db8:ffff::9")}
	for _, v6 := range []bool{false, true} {
		what := map[bool]string{false: "IPv4", true: "IPv6"}[v6]
		c.router.Run("conntrack", "-F")
		var packets []lab.Packet
		for _, a := range c.clients(3000, v6) {
			packets = append(packets, lab.Packet{Src: a, Dst: far[v6], Proto: lab.ProtoUDP, SPort: 5000, DPort: 443})
		}
		first := c.deal(packets)
		c.byWeight(what, first, map[string]int{"isp1": 3, "isp2": 1, "isp3": 2})
		c.dies("isp2")
		// Those of isp2 find no route in its table: they go by what main and default know, which is
		// nothing here.
		if n := changed(first, c.deal(packets), "isp2"); n != 0 {
			t.Errorf("%s: %d running connections moved when isp2, which they do not use, died", what, n)
		}
		c.comes("isp2")
		if n := changed(first, c.deal(packets), ""); n != 0 {
			t.Errorf("%s: %d running connections moved when isp2 came back", what, n)
		}
		c.dies("isp2")
		c.byWeight(what+" without isp2", c.connects(c.clients(3000, v6)), map[string]int{"isp1": 3, "isp3": 2})
		c.comes("isp2")
	}
}
