package integration

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// crowd is a router with a balance, many clients behind it and silent providers in front: only
// first packets count, and thousands of them are seen in a moment.
type crowd struct {
	*lab.Net
	t      *testing.T
	rng    *rand.Rand
	router *router
	wires  map[string]*lab.Wire
	ids    uint64
}

// crowdNet is where the clients are.
var crowdNet = map[bool]netip.Prefix{false: netip.MustParsePrefix("10.50.0.0/16"), true: netip.MustParsePrefix("2001:db8:50::/48")}

func newCrowd(t *testing.T, providers int) *crowd {
	t.Helper()
	lan := lab.LAN("lan", "br-lan", 10, 10)
	lan.Routed = []netip.Prefix{crowdNet[false], crowdNet[true]}
	spec := lab.Spec{LANs: []lab.LANSpec{lan}, Silent: true}
	for i := range providers {
		spec.ISPs = append(spec.ISPs, lab.ISP(i+1))
	}
	n := lab.Build(lab.New(t), spec)
	return &crowd{Net: n, t: t, rng: rand.New(rand.NewPCG(testSeed(t), 0)), router: newRouter(n.Router), wires: n.Wires()}
}

// policy is a policy file with all providers, main's traffic by the first of them, and what else is
// given.
func (c *crowd) policy(rest string) string {
	var b strings.Builder
	b.WriteString("[pbr]\noffload = \"off\"\n")
	for _, s := range c.Spec.ISPs {
		fmt.Fprintf(&b, "[[uplink]]\nname = %q\ninterface = %q\ngateway = %q\ngateway6 = %q\nnat = \"none\"\n",
			s.Name, s.Iface, s.Gateway4, s.Gateway6)
	}
	return b.String() + rest
}

// crowdPolicy is a balance named pool for all that comes from the LAN.
func (c *crowd) crowdPolicy(balance string) string {
	return c.policy("[[balance]]\nname = \"pool\"\n" + balance + "\n[[policy]]\nname = \"all\"\nfrom = \"br-lan\"\nbalance = \"pool\"\n")
}

// clients are different addresses, the same ones for the same seed.
func (c *crowd) clients(n int, v6 bool) []netip.Addr {
	seen := map[netip.Addr]bool{}
	for len(seen) < n {
		b := crowdNet[v6].Addr().AsSlice()
		b[len(b)-1], b[len(b)-2] = byte(c.rng.IntN(256)), byte(c.rng.IntN(256))
		if v6 { // of different subscribers
			b[6], b[7] = byte(c.rng.IntN(256)), byte(c.rng.IntN(256))
		}
		a, _ := netip.AddrFromSlice(b)
		seen[a] = true
	}
	return slices.SortedFunc(maps.Keys(seen), netip.Addr.Compare)
}

// connects sends the first packet of a new connection of each client to one destination.
func (c *crowd) connects(clients []netip.Addr) []string {
	c.t.Helper()
	dst := map[bool]netip.Addr{false: netip.MustParseAddr("9.9.9.9"), true: netip.MustParseAddr("2001:db8:ffff::9")}
	sport := uint16(1024 + c.rng.IntN(60000))
	packets := make([]lab.Packet, len(clients))
	for i, a := range clients {
		packets[i] = lab.Packet{Src: a, Dst: dst[a.Is6()], Proto: lab.ProtoUDP, SPort: sport, DPort: 443}
	}
	c.router.Run("conntrack", "-F")
	return c.deal(packets)
}

// batch is how many packets are under way at once: fewer than a CPU's receive queue takes
// (net.core.netdev_max_backlog).
const batch = 250

// deal sends packets and tells which provider each of them came to; the name of none is empty.
func (c *crowd) deal(packets []lab.Packet) []string {
	c.t.Helper()
	by := make([]string, len(packets))
	for from := 0; from < len(packets); from += batch {
		part := packets[from:min(from+batch, len(packets))]
		first := c.ids
		c.ids += uint64(len(part))
		lab.Pinned(c.t, func() error {
			for i := range part {
				p := part[i]
				p.ID = first + uint64(i)
				if err := c.wires["lan"].Send(p); err != nil {
					return err
				}
			}
			return c.wires["lan"].AwaitDelivery()
		})
		for name, w := range c.wires {
			got, err := w.Drain()
			if err != nil {
				c.t.Fatal(err)
			}
			for _, p := range got {
				by[from+int(p.ID-first)] = name
			}
		}
	}
	return by
}

// share counts who got how many.
func share(by []string) map[string]int {
	count := map[string]int{}
	for _, name := range by {
		count[name]++
	}
	return count
}

// byWeight fails the test unless the counts are what weights make of chance: chi-square, at a
// probability of about one in a million to be wrong.
func (c *crowd) byWeight(what string, by []string, weights map[string]int) {
	c.t.Helper()
	count, sum := share(by), 0
	for _, w := range weights {
		sum += w
	}
	chi := 0.0
	for name, w := range weights {
		ideal := float64(len(by)) * float64(w) / float64(sum)
		chi += math.Pow(float64(count[name])-ideal, 2) / ideal
		delete(count, name)
	}
	limit := [...]float64{0, 23.9, 27.6, 30.7}[len(weights)-1]
	c.t.Logf("%s: %v, chi-square %.2f of at most %.1f", what, share(by), chi, limit)
	if chi > limit || len(count) > 0 {
		c.t.Errorf("%s: %v is not by the weights %v: chi-square %.1f, at most %.1f; elsewhere %v", what, share(by),
			weights, chi, limit, count)
	}
}

// dies takes a provider's line away, comes gives it back.
func (c *crowd) dies(isp string) {
	c.t.Helper()
	c.router.IP("link set " + c.spec(isp).Iface + " down")
	c.router.must("apply")
}

func (c *crowd) comes(isp string) {
	c.t.Helper()
	s := c.spec(isp)
	mac := c.ISPs[isp].MAC("up0")
	c.router.IP("link set "+s.Iface+" up",
		fmt.Sprintf("addr replace %s dev %s nodad", s.Router6, s.Iface),
		fmt.Sprintf("neigh replace %s lladdr %s dev %s nud permanent", s.Gateway4, mac, s.Iface),
		fmt.Sprintf("neigh replace %s lladdr %s dev %s nud permanent", s.Gateway6, mac, s.Iface))
	c.router.must("apply")
}

func (c *crowd) spec(isp string) lab.ISPSpec {
	return c.Spec.ISPs[slices.IndexFunc(c.Spec.ISPs, func(s lab.ISPSpec) bool { return s.Name == isp })]
}

// changed counts the clients whose provider is another one, apart from those of one provider that
// is gone.
func changed(before, after []string, gone string) int {
	n := 0
	for i := range before {
		if before[i] != after[i] && before[i] != gone {
			n++
		}
	}
	return n
}
