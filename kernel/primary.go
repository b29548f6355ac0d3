package kernel

import (
	"cmp"
	"slices"

	"pbr/compiler/plan"
)

// primaryMove is an edit that takes default away from its primary uplink. Connections of that
// uplink carry no mark. They would follow default to an uplink that cannot use their address.
type primaryMove struct {
	// iface is the uplink's interface; mark pins a connection to the uplink, in the plan in force.
	iface string
	mark  uint32
	mask  uint32
	// families are the IP versions that default no longer sends through the uplink.
	families []plan.Family
	// replaced means that the uplink is no longer the primary one of either version.
	replaced bool
}

// movesPrimary returns how want changes have's primary uplink; ok is false if the uplink's unmarked
// connections stay where they are. inForce has the numbers of have's plan.
func movesPrimary(have, want *plan.Plan, inForce owned) (m primaryMove, ok bool) {
	var iface string
	for _, f := range plan.Families {
		iface = cmp.Or(iface, primaryInterface(&have.Ruleset, f))
	}
	if iface == "" {
		return m, false
	}
	m = primaryMove{iface: iface, mask: inForce.Mask, replaced: true}
	for _, f := range plan.Families {
		m.replaced = m.replaced && primaryInterface(&want.Ruleset, f) != iface
	}
	for _, n := range inForce.Numbers {
		if n.Interface == iface && !n.IsVariant() && !n.Inside {
			m.mark = n.Mark
		}
	}
	before, after := defaultTable(inForce.Numbers), defaultTable(want.Numbers)
	for _, f := range plan.Families {
		leads := primaryInterface(&have.Ruleset, f) == iface && leadsThrough(have.Routes, before, f, iface)
		stays := primaryInterface(&want.Ruleset, f) == iface && leadsThrough(want.Routes, after, f, iface)
		if leads && !stays {
			m.families = append(m.families, f)
		}
	}
	return m, m.mark != 0 && len(m.families) > 0
}

// primaryInterface returns the interface of a ruleset's primary uplink of a family; empty if there
// is none.
func primaryInterface(r *plan.Ruleset, family plan.Family) string {
	for i := range r.Sets {
		if s := &r.Sets[i]; s.Name == plan.SetPrimary(family) && len(s.Elements) == 1 {
			return s.Elements[0].From.Text()
		}
	}
	return ""
}

// withoutPrimary returns a ruleset that pins every new connection, including those of the primary
// uplink.
func withoutPrimary(r plan.Ruleset) plan.Ruleset {
	r.Sets = slices.Clone(r.Sets)
	for i := range r.Sets {
		if n := r.Sets[i].Name; n == plan.SetPrimary(plan.IPv4) || n == plan.SetPrimary(plan.IPv6) {
			r.Sets[i].Elements = nil
		}
	}
	return r
}

// defaultTable returns the id of the default table; 0 if there is none.
func defaultTable(numbers []plan.Number) uint32 {
	for _, n := range numbers {
		if n.Name == plan.DefaultName {
			return n.Table
		}
	}
	return 0
}

// leadsThrough reports whether the best default route of a table uses only this interface.
func leadsThrough(routes []plan.Route, table uint32, family plan.Family, iface string) bool {
	var best *plan.Route
	for i := range routes {
		r := &routes[i]
		if r.Table == table && r.Family == family && r.Dst.Bits() == 0 && r.Kind == plan.Unicast &&
			(best == nil || r.Metric < best.Metric) {
			best = r
		}
	}
	return best != nil && !slices.ContainsFunc(best.Hops, func(h plan.Hop) bool { return h.Dev != iface })
}
