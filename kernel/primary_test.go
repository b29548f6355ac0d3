package kernel

import (
	"net/netip"
	"slices"
	"testing"

	"pbr/compiler/plan"
)

// primaryPlan has default's routes of either version through interfaces, by distance, and a primary
// uplink.
func primaryPlan(primary string, v4, v6 []string) *plan.Plan {
	p := &plan.Plan{Mask: 0xff, Numbers: []plan.Number{
		{Name: "default", Table: 100}, {Name: "isp1", Table: 101, Mark: 1, Interface: "w1"},
		{Name: "isp1/strict", Table: 103, Mark: 3, Interface: "w1"}, {Name: "isp2", Table: 102, Mark: 2, Interface: "w2"},
	}}
	for i, f := range plan.Families {
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if f == plan.IPv6 {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		for distance, dev := range [][]string{v4, v6}[i] {
			r := plan.Route{Table: 100, Family: f, Dst: all, Metric: uint32(distance + 1), Kind: plan.Unicast, Protocol: plan.Protocol}
			for _, d := range []string{"w1", "w2"} {
				if dev == d || dev == "both" {
					r.Hops = append(r.Hops, plan.Hop{Dev: d, Weight: 1})
				}
			}
			p.Routes = append(p.Routes, r)
		}
	}
	for _, family := range plan.Families {
		set := plan.Set{Name: plan.SetPrimary(family), Type: plan.TypeIfname}
		if primary != "" {
			k := plan.KeyFromString(primary)
			set.Elements = []plan.Element{{From: k, To: k}}
		}
		p.Ruleset.Sets = append(p.Ruleset.Sets, set)
	}
	return p
}

// TestMovesPrimary: which connections an edit would take along, by IP version.
func TestMovesPrimary(t *testing.T) {
	one, both := []string{"w1", "w2"}, []string{"both"}
	two := []string{"w2", "w1"}
	all, none := plan.Families[:], []plan.Family(nil)
	have := primaryPlan("w1", one, one)
	for _, tc := range []struct {
		name       string
		have, want *plan.Plan
		families   []plan.Family
		replaced   bool
	}{
		{"nothing", have, primaryPlan("w1", one, one), none, false},
		{"swapped", have, primaryPlan("w2", two, two), all, true},
		{"equal", have, primaryPlan("", both, both), all, true},
		{"no default", have, primaryPlan("", nil, nil), all, true},
		{"it stays primary, and IPv6 leaves it", have, primaryPlan("w1", one, two), []plan.Family{plan.IPv6}, false},
		{"IPv6 was not through it", primaryPlan("w1", one, two), primaryPlan("w2", two, two), []plan.Family{plan.IPv4}, true},
		{"there was none", primaryPlan("", both, both), primaryPlan("w1", one, one), none, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, ok := movesPrimary(tc.have, tc.want, claimsOf(have))
			if ok != (tc.families != nil) || ok && (!slices.Equal(m.families, tc.families) || m.replaced != tc.replaced ||
				m.mark != 1 || m.iface != "w1") {
				t.Errorf("%s: %+v, %v", tc.name, m, ok)
			}
		})
	}
	t.Run("a mark that no plan gave pins nothing", func(t *testing.T) {
		unknown := claimsOf(have)
		unknown.Numbers = nil
		if _, ok := movesPrimary(have, primaryPlan("w2", two, two), unknown); ok {
			t.Error("pinned by a mark that no plan gave")
		}
	})
}
