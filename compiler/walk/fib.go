package walk

import (
	"cmp"
	"net/netip"
	"slices"

	"pbr/compiler/interval"
	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// addrKind is what an address is to the router (RTN_*, linux/rtnetlink.h).
type addrKind uint32

const (
	kindUnicast   addrKind = 1
	kindLocal     addrKind = 2
	kindBroadcast addrKind = 3
	kindMulticast addrKind = 5
)

// fib is the kernel's forwarding state: ip rules over routing tables.
type fib struct {
	facts *Facts
	rules map[plan.Family][]plan.Rule
	// byPriority has the index of the first rule of a priority.
	byPriority map[plan.Family]map[uint32]int
	tables     map[tableOf]*table
	own        map[netip.Addr]string
	broadcast  map[netip.Addr]bool
}

type tableOf struct {
	family plan.Family
	id     uint32
}

// table is a routing table: routes by destination, and the lengths of destinations, longest first.
type table struct {
	routes  map[netip.Prefix][]*plan.Route
	lengths []int
}

func newFib(p *plan.Plan, facts *Facts) *fib {
	f := &fib{facts: facts, rules: map[plan.Family][]plan.Rule{}, byPriority: map[plan.Family]map[uint32]int{},
		tables: map[tableOf]*table{},
		own:    map[netip.Addr]string{}, broadcast: map[netip.Addr]bool{}}
	others := facts.Rules
	if !facts.Known {
		others = kernelRules()
	}
	for _, r := range slices.Concat(p.Rules, others) {
		f.rules[r.Family] = append(f.rules[r.Family], r)
	}
	for family, rules := range f.rules {
		sorting.Func(rules, func(a, b plan.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
		f.byPriority[family] = map[uint32]int{}
		for i := len(rules) - 1; i >= 0; i-- {
			f.byPriority[family][rules[i].Priority] = i
		}
	}
	f.addRoutes(p.Routes)
	f.addRoutes(facts.Routes)
	f.addLinks()
	return f
}

func (f *fib) addRoutes(routes []plan.Route) {
	for i := range routes {
		r := &routes[i]
		key := tableOf{r.Family, r.Table}
		t := f.tables[key]
		if t == nil {
			t = &table{routes: map[netip.Prefix][]*plan.Route{}}
			f.tables[key] = t
		}
		t.routes[r.Dst] = append(t.routes[r.Dst], r)
		if !slices.Contains(t.lengths, r.Dst.Bits()) {
			t.lengths = append(t.lengths, r.Dst.Bits())
		}
	}
	for _, t := range f.tables {
		sorting.Func(t.lengths, func(a, b int) int { return cmp.Compare(b, a) })
		for _, same := range t.routes {
			sorting.Func(same, func(a, b *plan.Route) int { return cmp.Compare(a.Metric, b.Metric) })
		}
	}
}

func (f *fib) addLinks() {
	for name, link := range f.facts.Links {
		for _, p := range link.Addrs {
			f.own[p.Addr()] = name
			if p.Addr().Is4() && p.Bits() < 31 {
				f.broadcast[interval.LastAddr(p)] = true
			}
		}
	}
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// kind is what the router's local table says of an address.
func (f *fib) kind(a netip.Addr) addrKind {
	switch {
	case a.IsMulticast():
		return kindMulticast
	case a == limitedBroadcast || f.broadcast[a]:
		return kindBroadcast
	case a.IsLoopback() || f.own[a] != "":
		return kindLocal
	}
	return kindUnicast
}

// found is the result of a look-up.
type found struct {
	// rule is the ip rule that decided, nil if none did.
	rule *plan.Rule
	// route is nil for what is the router's, for a rule that refuses, and where main is not known.
	route *plan.Route
	kind  addrKind
	// refused is the verdict of a rule or a route that leads nowhere, or of no route at all.
	refused plan.RouteKind
	// hops are the next hops that can be used.
	hops []plan.Hop
}

// lookUp goes through the ip rules as fib_rules_lookup does (net/core/fib_rules.c).
func (f *fib) lookUp(flow *Flow) found {
	family := plan.FamilyOf(flow.Dst)
	rules := f.rules[family]
	for i := 0; i < len(rules); i++ {
		r := &rules[i]
		if !matches(r, flow) {
			continue
		}
		switch r.Action {
		case plan.ActGoto:
			if to, ok := f.byPriority[family][r.Goto]; ok && to > i {
				i = to - 1
			}
			continue
		case plan.ActLookup:
		case plan.ActUnreachable:
			return found{rule: r, refused: plan.Unreachable}
		case plan.ActProhibit:
			return found{rule: r, refused: plan.Prohibit}
		case plan.ActBlackhole:
			return found{rule: r, refused: plan.Blackhole}
		default:
			continue
		}
		if r.Table == tableLocal {
			kind := f.kind(flow.Dst)
			switch {
			case kind == kindUnicast:
			case kind == kindMulticast && flow.IIF == loopback:
				// The router's own leaves it. IPv6 has a route for each interface in its local
				// table, of which the sender names one; IPv4 has none there (addrconf_add_mroute,
				// net/ipv6/addrconf.c).
				if flow.Dst.Is6() {
					return found{kind: kindUnicast}
				}
			default:
				return found{rule: r, kind: kind}
			}
			continue
		}
		if to, ok := f.inTable(r, flow); ok {
			return to
		}
	}
	if !f.facts.Known {
		// Whatever main has.
		return found{rule: &rules[f.byPriority[family][priorityMain]], kind: kindUnicast}
	}
	return found{refused: plan.Unreachable}
}

// inTable looks for the best route of a rule's table: the longest destination, then the lowest
// metric, with a next hop that can be used. ok is false where the rules continue.
func (f *fib) inTable(r *plan.Rule, flow *Flow) (to found, ok bool) {
	if r.Table == plan.MainTable && f.facts.Outside[flow.IIF] {
		return found{rule: r, kind: kindUnicast}, true
	}
	t := f.tables[tableOf{r.Family, r.Table}]
	if t == nil {
		return found{}, false
	}
	for _, bits := range t.lengths {
		dst, _ := flow.Dst.Prefix(bits)
		for _, route := range t.routes[dst] {
			switch route.Kind {
			case plan.Throw:
				return found{}, false
			case plan.Unicast:
			case plan.RouteKind(kindLocal), plan.RouteKind(kindBroadcast), plan.RouteKind(kindMulticast):
				return found{rule: r, route: route, kind: addrKind(route.Kind)}, true
			default:
				return found{rule: r, route: route, refused: route.Kind}, true
			}
			hops := f.usable(route, flow.OIF)
			if len(hops) == 0 {
				continue
			}
			suppressed := r.SuppressPrefix > 0 && bits < int(r.SuppressPrefix)
			return found{rule: r, route: route, kind: kindUnicast, hops: hops}, !suppressed
		}
	}
	return found{}, false
}

// usable returns the next hops over interfaces that carry packets, and over the one that is asked
// for.
func (f *fib) usable(r *plan.Route, oif string) []plan.Hop {
	fits := func(h *plan.Hop) bool {
		if oif != "" && h.Dev != oif {
			return false
		}
		link, known := f.facts.Links[h.Dev]
		return !f.facts.Known || known && !link.Down && !link.NoCarrier
	}
	if len(r.Hops) == 1 && fits(&r.Hops[0]) {
		return r.Hops
	}
	var out []plan.Hop
	for i := range r.Hops {
		if fits(&r.Hops[i]) {
			out = append(out, r.Hops[i])
		}
	}
	return out
}

// matches reports whether a rule is for a flow (fib_rule_match, fib4_rule_match, fib6_rule_match).
func matches(r *plan.Rule, f *Flow) bool { return selects(r, f) != r.Invert }

func selects(r *plan.Rule, f *Flow) bool {
	switch {
	case (r.Mark^f.Mark)&r.MarkMask != 0,
		r.IIF != "" && r.IIF != f.IIF,
		r.OIF != "" && r.OIF != f.OIF,
		r.Src.IsValid() && !(f.Src.IsValid() && r.Src.Contains(f.Src)),
		r.Dst.IsValid() && !r.Dst.Contains(f.Dst),
		r.TOS != 0 && !tosMatches(r, f),
		r.DSCP != 0 && r.DSCP-1 != f.DSCP,
		r.Proto != 0 && r.Proto != f.Proto,
		r.SPort != plan.PortRange{} && !(r.SPort.From <= f.SPort && f.SPort <= r.SPort.To),
		r.DPort != plan.PortRange{} && !(r.DPort.From <= f.DPort && f.DPort <= r.DPort.To),
		r.HasUID && !(r.UID.From <= f.UID && f.UID <= r.UID.To):
		return false
	}
	return true
}

// legacyTOS are the bits of TOS that IPv4 rules compare (INET_DSCP_LEGACY_TOS_MASK,
// net/inet_dscp.h).
const legacyTOS = 0x1c

func tosMatches(r *plan.Rule, f *Flow) bool {
	if r.Family == plan.IPv4 {
		return f.DSCP<<2&legacyTOS == r.TOS
	}
	return f.DSCP<<2 == r.TOS
}
