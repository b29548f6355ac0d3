package route

import (
	"maps"
	"math"
	"net/netip"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

// AllRules lists every ip rule, of both families.
func (c *Conn) AllRules() ([]plan.Rule, error) {
	var out []plan.Rule
	for _, family := range plan.Families {
		rules, err := c.rules(family)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			out = append(out, r.Rule)
		}
	}
	return out, nil
}

// Defaults returns, of the tables that the rules look up, those with a default route, sorted.
func (c *Conn) Defaults(rules []plan.Rule) ([]facts.Table, error) {
	var out []facts.Table
	seen := map[facts.Table]bool{}
	for _, r := range rules {
		t := facts.Table{Family: r.Family, ID: r.Table}
		if r.Action != plan.ActLookup || r.Protocol == plan.Protocol || r.Table == 0 || seen[t] {
			continue
		}
		seen[t] = true
		routes, err := c.routes(t.Family, t.ID, 0)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(routes, func(r liveRoute) bool { return plan.CountsAsDefault(r.Dst) }) {
			out = append(out, t)
		}
	}
	return out, nil
}

// Main returns main's routes that count as default routes but cover only part of the addresses, and
// what share of the Internet its other routes cover.
func (c *Conn) Main() (halves []plan.Route, shares []facts.MainShare, err error) {
	for _, family := range plan.Families {
		routes, err := c.routes(family, plan.MainTable, 0)
		if err != nil {
			return nil, nil, err
		}
		through := map[string][]netip.Prefix{}
		for i := range routes {
			r := &routes[i]
			switch half := plan.CountsAsDefault(r.Dst); {
			case r.Kind != plan.Unicast || half && r.Dst.Bits() == 0 || r.connected():
			case half:
				halves = append(halves, r.Route)
			default:
				for _, h := range r.Hops {
					through[h.Dev] = append(through[h.Dev], r.Dst)
				}
			}
		}
		for _, dev := range slices.Sorted(maps.Keys(through)) {
			shares = append(shares, facts.MainShare{Family: family, Dev: dev, Routes: len(through[dev]), Share: share(through[dev])})
		}
	}
	return halves, shares, nil
}

// public6 is the allocated part of IPv6 (RFC 4291, 2.4).
var public6 = netip.MustParsePrefix("2000::/3")

// share returns how much of an IP version's public addresses the networks cover, 0 to 1.
func share(networks []netip.Prefix) (sum float64) {
	var last netip.Prefix
	for _, p := range sorted(networks) {
		above := 0
		if p.Addr().Is6() {
			above = public6.Bits()
		}
		if last.IsValid() && last.Overlaps(p) || p.Addr().Is6() && !public6.Overlaps(p) {
			continue
		}
		last = p
		sum += math.Pow(2, float64(above-p.Bits()))
	}
	return min(sum, 1)
}

// Others returns the routes of others in the tables.
func (c *Conn) Others(tables []uint32) ([]plan.Route, error) {
	_, routes, err := c.Read(nil, tables)
	return slices.DeleteFunc(routes, func(r plan.Route) bool { return r.Protocol == plan.Protocol }), err
}

// Ports returns the interfaces that are ports of another one (a bridge or bond, not a VRF), with
// its name.
func (c *Conn) Ports() (map[string]string, error) {
	links, err := c.links()
	if err != nil {
		return nil, err
	}
	names := map[uint32]string{}
	for _, l := range links {
		if l.kind != "vrf" {
			names[l.index] = l.name
		}
	}
	out := map[string]string{}
	for _, l := range links {
		if master := names[l.master]; master != "" {
			out[l.name] = master
		}
	}
	return out, nil
}
