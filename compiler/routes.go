package compiler

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
)

const (
	// pinnedMetric is the metric of a pinned table's one default route. IPv6 turns 0 into 1024, so
	// both families use 1.
	pinnedMetric = 1
	// strictMetric is the metric of a strict table's unreachable route, above every distance.
	strictMetric = 65535
)

func (c *compilation) families() []plan.Family {
	if c.host.Known && c.host.NoIPv6 {
		return plan.Families[:1]
	}
	return plan.Families[:]
}

func defaultRoute(family plan.Family) netip.Prefix {
	if family == plan.IPv4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

func (c *compilation) addRoutes() {
	for _, n := range c.out.Numbers {
		if n.Uplink != "" {
			c.addPinned(n)
		}
	}
	for i := range c.doc.Tables {
		c.addTable(&c.doc.Tables[i])
	}
	for _, t := range policy.StrictVariants(c.doc) {
		c.addTable(strictVariant(t))
	}
	added := map[string]bool{}
	for _, r := range c.returns {
		if r.Variant && !added[r.Name] {
			added[r.Name] = true
			c.addTable(variant(&r))
		}
	}
	for _, family := range c.families() {
		if policy.MakesUnreachable(c.doc) {
			c.addRefusing(c.numbers.table(unreachableName), family, plan.Unreachable)
		}
		if policy.Drops(c.doc) {
			c.addRefusing(c.numbers.table(dropName), family, plan.Blackhole)
		}
	}
	if c.doc.Default != nil {
		c.addTable(c.doc.Default)
	}
}

// addPinned adds an uplink's pinned table: one default route, healthy or not, and its shared
// networks.
func (c *compilation) addPinned(n plan.Number) {
	u := c.uplinks[n.Uplink]
	for _, family := range c.families() {
		if hop, ok := c.hop(u, family); ok {
			c.addRoute(n.Table, family, defaultRoute(family), pinnedMetric, []plan.Hop{hop})
			c.addOwnCardRoutes(n.Table, u, family)
		}
		// Of a version that it does not carry only main's own routes send it packets, and they
		// continue doing so.
		if n.Strict && Carries(u, family) {
			c.addUnreachable(n.Table, family)
		}
	}
}

// strictVariant is a table as strict policies use it.
func strictVariant(t *policy.Table) *policy.Table {
	v := *t
	v.Name, v.Strict = t.Name+strictSuffix, true
	return &v
}

// addTable adds the routes of a table: those over healthy uplinks.
func (c *compilation) addTable(t *policy.Table) {
	table := c.numbers.table(t.Name)
	for _, family := range c.families() {
		ready := c.readyRoutes(t, family)
		live := c.quickest(t, c.healthy(t, ready, family), family)
		for len(live) > 0 {
			n := 1
			for n < len(live) && live[n].sameRoute(live[0]) {
				n++
			}
			c.addRoute(table, family, live[0].Dst, live[0].Distance, c.hops(t, family, live[:n]))
			live = live[n:]
		}
		if t.Strict || t == c.doc.Default && c.allSpent(ready, family) {
			c.addUnreachable(table, family)
		}
	}
}

// allSpent reports whether the quotas of all uplinks are used up. Main must not go on with these
// uplinks then, as it often has a default route of its own over one of them.
func (c *compilation) allSpent(ready []readyRoute, family plan.Family) bool {
	return len(ready) > 0 && !slices.ContainsFunc(ready, func(r readyRoute) bool { return !c.down.spent(r.Uplink, family) })
}

// healthy omits the routes over uplinks that are down. When none would be left, and the table is
// not strict, those over the last one to go down stay: a wrong verdict must not turn a bad line
// into none. One whose quota is used up does not.
func (c *compilation) healthy(t *policy.Table, ready []readyRoute, family plan.Family) []readyRoute {
	if t.Strict {
		return slices.DeleteFunc(slices.Clone(ready), func(r readyRoute) bool { return c.down.closed(r.Uplink, family) })
	}
	order := func(r readyRoute) int { return c.down.Order(r.Uplink, family) }
	live := slices.DeleteFunc(slices.Clone(ready), func(r readyRoute) bool { return order(r) > 0 })
	if len(live) > 0 || len(ready) == 0 {
		return live
	}
	ready = slices.DeleteFunc(slices.Clone(ready), func(r readyRoute) bool { return c.down.spent(r.Uplink, family) })
	if len(ready) == 0 {
		return nil
	}
	last := slices.MaxFunc(ready, func(a, b readyRoute) int { return cmp.Compare(order(a), order(b)) })
	return slices.DeleteFunc(ready, func(r readyRoute) bool { return r.Uplink != last.Uplink })
}

// quickest omits the routes over uplinks that the table passes over for a quicker one of equal
// distance.
func (c *compilation) quickest(t *policy.Table, live []readyRoute, family plan.Family) []readyRoute {
	if !t.Prefer.LowestRTT {
		return live
	}
	passed := func(r readyRoute) bool { return c.down.passedOver(t.Name, r.Uplink, family) }
	return slices.DeleteFunc(slices.Clone(live), func(r readyRoute) bool {
		return passed(r) && slices.ContainsFunc(live, func(o readyRoute) bool { return o.sameRoute(r) && !passed(o) })
	})
}

// readyRoute is a table's route that the machine can take, with its next hop.
type readyRoute struct {
	policy.Route
	hop plan.Hop
}

func (r readyRoute) sameRoute(o readyRoute) bool { return r.Dst == o.Dst && r.Distance == o.Distance }

// readyRoutes returns a table's routes of one family in order of destination and distance.
func (c *compilation) readyRoutes(t *policy.Table, family plan.Family) []readyRoute {
	var ready []readyRoute
	for _, r := range t.Routes {
		if r.Dst.IsValid() && plan.FamilyOf(r.Dst.Addr()) != family {
			continue
		}
		hop, ok := c.hop(c.uplinks[r.Uplink], family)
		if !ok {
			continue
		}
		if !r.Dst.IsValid() {
			r.Dst = defaultRoute(family)
		}
		hop.Weight = max(r.Weight, 1)
		ready = append(ready, readyRoute{r, hop})
	}
	sorting.Func(ready, func(a, b readyRoute) int {
		return cmp.Or(a.Dst.Addr().Compare(b.Dst.Addr()), cmp.Compare(a.Dst.Bits(), b.Dst.Bits()),
			cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.hop.Dev, b.hop.Dev))
	})
	return ready
}

// hops returns the next hops of one route of a table: more than one share its connections by
// weight.
func (c *compilation) hops(t *policy.Table, family plan.Family, routes []readyRoute) []plan.Hop {
	if family == plan.IPv6 && len(routes) > 1 {
		routes = c.sharable(t, routes)
	}
	if len(routes) == 1 {
		hop := routes[0].hop
		hop.Weight = 1
		return []plan.Hop{hop}
	}
	var list []plan.Hop
	for _, r := range routes {
		list = append(list, r.hop)
	}
	return list
}

// sharable omits of an IPv6 multipath route what the kernel refuses in one, next hops without a
// gateway (ip6_route_multipath_add, net/ipv6/route.c), and says so.
func (c *compilation) sharable(t *policy.Table, routes []readyRoute) []readyRoute {
	noGateway := func(r readyRoute) bool { return !r.hop.Via.IsValid() && !r.hop.Auto }
	kept := slices.DeleteFunc(slices.Clone(routes), noGateway)
	if len(kept) == 0 {
		kept = routes[:1]
	}
	for _, r := range routes {
		if noGateway(r) && r.Uplink != kept[0].Uplink {
			c.postpone("table "+t.Name, fmt.Sprintf(
				"IPv6 cannot share its connections with uplink %s: the kernel needs a gateway for each of equal distance", r.Uplink))
		}
	}
	return kept
}

func (c *compilation) addRoute(table uint32, family plan.Family, dst netip.Prefix, metric uint32, hops []plan.Hop) {
	c.out.Routes = append(c.out.Routes, plan.Route{
		Table: table, Family: family, Dst: dst, Metric: metric,
		Kind: plan.Unicast, Hops: hops, Protocol: plan.Protocol,
	})
}

func (c *compilation) addUnreachable(table uint32, family plan.Family) {
	c.addRefusing(table, family, plan.Unreachable)
}

// addRefusing adds the route that ends a table's look-up without a way.
func (c *compilation) addRefusing(table uint32, family plan.Family, kind plan.RouteKind) {
	c.out.Routes = append(c.out.Routes, plan.Route{
		Table: table, Family: family, Dst: defaultRoute(family), Metric: strictMetric,
		Kind: kind, Protocol: plan.Protocol,
	})
}
