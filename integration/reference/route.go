package reference

import (
	"cmp"
	"net/netip"
	"slices"
)

// looksIntoMain reports whether a rule leads to the main table, which serves as default where there
// is none.
func (e Evaluator) looksIntoMain() bool {
	return slices.ContainsFunc(e.Policy.Rules, func(r Rule) bool {
		return r.Table == "main" || r.Table == "default" &&
			!e.Policy.HasDefault
	})
}

func bestRoutes(routes []Route) []Route {
	least := slices.MinFunc(routes, func(a, b Route) int { return cmp.Compare(a.Distance, b.Distance) })
	return slices.DeleteFunc(slices.Clone(routes), func(r Route) bool { return r.Distance != least.Distance })
}

// target is a table by its meaning: routes, and what happens to packets that none of them takes.
type target struct {
	routes []Route
	strict bool
	// past is default, for a connection that a policy left to it: rules do not see it.
	past bool
	// oneOf are what a balance chooses from; the rest is then empty.
	oneOf []*target
}

func (e Evaluator) target(table, uplink string) *target {
	if uplink != "" {
		return &target{routes: []Route{{Uplink: uplink, Distance: 1}}}
	}
	for _, t := range e.Policy.Tables {
		if t.Name == table {
			return &target{routes: t.Routes, strict: t.Strict}
		}
	}
	panic("policy names a table that it lacks: " + table)
}

// route follows the order of precedence. to is where a policy sent the packet, nil for none.
// The result has an empty name for a packet that goes nowhere.
func (e Evaluator) route(k Packet, to *target) []string {
	if to != nil && to.oneOf != nil {
		var devs []string
		for _, member := range to.oneOf {
			devs = append(devs, e.route(k, member)...)
		}
		return devs
	}
	if e.Policy.MainFirst != "off" {
		if devs := e.main(k.Dst, e.Policy.MainFirst == "connected", false); devs != nil {
			return devs
		}
	}
	if to != nil && !to.past {
		if devs := e.lookup(k.Dst, to.routes, to.strict); devs != nil {
			return devs
		}
		if to.strict {
			return []string{""}
		}
	} else if devs := e.byAddress(k); devs != nil {
		return devs
	}
	if to == nil {
		if devs := e.byRules(k); devs != nil {
			return devs
		}
	}
	if devs := e.main(k.Dst, false, false); devs != nil {
		return devs
	}
	if devs := e.byDefault(k); devs != nil {
		return devs
	}
	return []string{""}
}

// pastRules is where connections go that a policy leaves to default; nil where there are no rules
// that could see them.
func (e Evaluator) pastRules() *target {
	if len(e.Policy.Rules) == 0 {
		return nil
	}
	return &target{past: true}
}

// byDefault is [default], and main's default routes. nil: no route.
func (e Evaluator) byDefault(k Packet) []string {
	if e.Policy.HasDefault {
		if devs := e.lookup(k.Dst, e.Policy.Default, false); devs != nil {
			return devs
		}
	}
	return e.main(k.Dst, false, true)
}

// byAddress is the way of a packet from an uplink's address. nil: it is from none, or has no route
// there.
func (e Evaluator) byAddress(k Packet) []string {
	for _, u := range e.Policy.Uplinks {
		for _, p := range e.Host.Addrs[u.Interface] {
			if p.Addr() == k.Src && u.Carries(k.Dst.Is6()) {
				// The router answers its own networks from any of its addresses.
				if devs := e.main(k.Dst, false, false); devs != nil {
					return devs
				}
				if devs := e.lookup(k.Dst, []Route{{Uplink: u.Name}}, false); devs != nil {
					return devs
				}
			}
		}
	}
	return nil
}

// byRules is what the rules say. nil: nothing.
func (e Evaluator) byRules(k Packet) []string {
	for _, r := range sortedRules(e.Policy.Rules) {
		if !e.ruleMatches(r, k) {
			continue
		}
		if r.Action == "unreachable" || r.Action == "prohibit" || r.Action == "drop" {
			return []string{""}
		}
		devs, strict := e.byRule(r, k)
		if devs != nil {
			return devs
		}
		if strict || r.Action == "lookup-only-in-table" {
			return []string{""}
		}
	}
	return nil
}

// byRule looks into a rule's table; strict means that nothing comes after it.
func (e Evaluator) byRule(r Rule, k Packet) (devs []string, strict bool) {
	switch {
	case r.Table == "main" || r.Table == "default" && !e.Policy.HasDefault:
		return e.main(k.Dst, false, true), false
	case r.Table == "default":
		return e.lookup(k.Dst, e.Policy.Default, false), false
	}
	to := e.target(r.Table, r.Uplink)
	return e.lookup(k.Dst, to.routes, to.strict), to.strict
}

// sortedRules puts numbered rules first, by number; the others follow in file order.
func sortedRules(rules []Rule) []Rule {
	sorted := slices.Clone(rules)
	const last = 1 << 30
	rank := func(r Rule) int {
		if r.Priority == 0 {
			return last
		}
		return r.Priority
	}
	slices.SortStableFunc(sorted, func(a, b Rule) int { return cmp.Compare(rank(a), rank(b)) })
	return sorted
}

// lookup finds a packet's interfaces in a table: the longest prefix, then the lowest distance, of
// uplinks that carry the family. nil: no route.
func (e Evaluator) lookup(dst netip.Addr, routes []Route, strict bool) []string {
	var fit []Route
	longest := -1
	for _, r := range e.healthy(dst.Is6(), routes, strict) {
		bits := 0
		if r.Dst.IsValid() {
			bits = r.Dst.Bits()
			if !r.Dst.Contains(dst) {
				continue
			}
		}
		if bits > longest {
			fit, longest = nil, bits
		}
		if bits == longest {
			fit = append(fit, r)
		}
	}
	if fit == nil {
		return nil
	}
	var devs []string
	for _, r := range e.sharing(dst.Is6(), bestRoutes(fit)) {
		devs = append(devs, e.uplink(r.Uplink).Interface)
	}
	return devs
}

// sharing returns those of routes of equal distance that share connections: in IPv6 only uplinks
// with a gateway can, and a route over another one is omitted.
func (e Evaluator) sharing(v6 bool, routes []Route) []Route {
	if !v6 || len(routes) < 2 {
		return routes
	}
	kept := slices.DeleteFunc(slices.Clone(routes), func(r Route) bool { return e.uplink(r.Uplink).Gateway6 == "" })
	if len(kept) == 0 {
		return []Route{slices.MinFunc(routes,
			func(a, b Route) int { return cmp.Compare(e.uplink(a.Uplink).Interface, e.uplink(b.Uplink).Interface) })}
	}
	return kept
}

// healthy returns the routes for a family over uplinks that did not fail; if there are none, and
// the table is not strict, those over the last one that did.
func (e Evaluator) healthy(v6 bool, routes []Route, strict bool) []Route {
	last := 0
	var up []Route
	for _, r := range routes {
		if !e.uplink(r.Uplink).Carries(v6) || r.Dst.IsValid() && r.Dst.Addr().Is6() != v6 {
			continue
		}
		if failed := e.Host.Down[UplinkVersion{r.Uplink, v6}]; failed == 0 {
			up = append(up, r)
		} else {
			last = max(last, failed)
		}
	}
	if up != nil || strict {
		return up
	}
	for _, r := range routes {
		if last > 0 && e.Host.Down[UplinkVersion{r.Uplink, v6}] == last && (!r.Dst.IsValid() || r.Dst.Addr().Is6() == v6) &&
			e.uplink(r.Uplink).Carries(v6) {
			up = append(up, r)
		}
	}
	return up
}

// main looks a destination up in the kernel's main table: connected networks only, or all of
// its routes but default ones, or all. nil: no route.
func (e Evaluator) main(dst netip.Addr, connectedOnly, defaults bool) []string {
	dev, longest := "", -1
	consider := func(p netip.Prefix, via string) {
		if p.Contains(dst) && p.Bits() > longest && (defaults || !isDefault(p)) {
			dev, longest = via, p.Bits()
		}
	}
	for name, prefixes := range e.Host.Addrs {
		for _, p := range prefixes {
			consider(p.Masked(), name)
		}
	}
	if !connectedOnly {
		for _, r := range e.Host.Main {
			consider(r.Dst, r.Dev)
		}
	}
	if longest < 0 {
		return nil
	}
	return []string{dev}
}

// isDefault reports whether a route of main counts as a default route: also halves of one do.
func isDefault(p netip.Prefix) bool { return p.Bits() <= 1 || p.Addr().Is6() && p.Bits() <= 4 }
