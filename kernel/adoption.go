package kernel

import (
	"slices"

	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/sorting"
	"pbr/compiler/walk"
	"pbr/kernel/adopt"
	"pbr/kernel/conntrack"
)

// tableMade reports whether an apply is about to create a plan's table, or to restore its chains:
// connections that the table never saw may exist then. last is the ruleset that the last apply
// left, as far as it is known.
func tableMade(have, want, last *plan.Ruleset) bool {
	if want.Empty() {
		return false
	}
	for i := range want.Chains {
		if c := &want.Chains[i]; inEveryPlan(c) && rulesOf(have, c.Name) == 0 {
			return true
		}
	}
	if last == nil {
		return false
	}
	for i := range last.Chains {
		if c := &last.Chains[i]; c.Hook != "" && rulesOf(have, c.Name) < len(c.Rules) {
			return true
		}
	}
	return false
}

// inEveryPlan reports whether every plan has a chain: if it is missing, somebody removed it. Others
// may be new in this plan, which is no reason to examine connections.
func inEveryPlan(c *plan.Chain) bool {
	switch c.Name {
	case "prerouting", "output", "postrouting":
		return c.Hook == c.Name && c.Kind != "nat"
	}
	return false
}

// rulesOf returns the number of rules of a chain.
func rulesOf(r *plan.Ruleset, chain string) int {
	for i := range r.Chains {
		if r.Chains[i].Name == chain {
			return len(r.Chains[i].Rules)
		}
	}
	return 0
}

// answersPriority is that of mangle (linux/netfilter_ipv4.h): after conntrack, and before
// destination NAT. arrivalsPriority is before the plan's own chain.
const (
	answersPriority  = -150
	arrivalsPriority = answersPriority - 1
)

// withoutAnswers returns a ruleset that drops packets which would start a connection with one of
// the tuples.
func withoutAnswers(r plan.Ruleset, answers []conntrack.Tuple) plan.Ruleset {
	l := tupleLookUp{prefix: "late-answers", target: "late-answer", comment: "answers to connections that were just deleted",
		matches: []plan.Match{{Field: plan.FieldCTState, Mask: walk.StateNew, Not: true}}}
	arrived := plan.Chain{Name: l.prefix, Kind: "filter", Hook: "prerouting", Priority: answersPriority}
	drop := plan.Chain{Name: l.target, Rules: []plan.ChainRule{{Actions: []plan.Action{plan.Drop{}}}}}
	return l.add(r, arrived, drop, answers)
}

// withArrivals returns a ruleset that pins connections from outside to the uplink that their next
// packet arrives on. The connections are unmarked, and known by the tuples as which they arrive.
// Meanwhile nothing is offloaded: unmarked, their packets from inside would stay on default's
// route.
func withArrivals(r plan.Ruleset, mask uint32, uplinks []adopt.Arrival, flows []conntrack.Tuple) plan.Ruleset {
	r = withoutOffload(r)
	l := tupleLookUp{prefix: "arrivals", target: "arrived", comment: "connections from outside that are pinned when a packet arrives",
		matches: []plan.Match{{Field: plan.FieldCTDirection}, {Field: plan.FieldCTMark, Mask: mask}}} // original; unmarked
	arrives := plan.Chain{Name: l.prefix, Kind: "filter", Hook: "prerouting", Priority: arrivalsPriority}
	pin := plan.Chain{Name: l.target}
	for _, u := range uplinks {
		iface := plan.KeyFromString(u.Interface)
		pin.Rules = append(pin.Rules, plan.ChainRule{
			Matches: []plan.Match{plan.NFProto(u.Family), {Field: plan.FieldIIFName, From: iface, To: iface}},
			Actions: []plan.Action{plan.SetCTMark{Mask: mask, Value: u.Mark}},
		})
	}
	return l.add(r, arrives, pin, flows)
}

// withoutOffload returns a ruleset without its flowtables.
func withoutOffload(r plan.Ruleset) plan.Ruleset {
	for _, f := range r.Flowtables {
		r.Chains = slices.DeleteFunc(slices.Clone(r.Chains), func(c plan.Chain) bool { return c.Uses(f.Name) })
	}
	r.Flowtables = nil
	return r
}

// tupleLookUp leads packets that have one of some tuples to a chain.
type tupleLookUp struct {
	// prefix begins the names of the maps, target is the chain, comment is that of the maps.
	prefix, target, comment string
	// matches say which packets are looked up.
	matches []plan.Match
}

// add returns a ruleset with a base chain that looks up tuples, and the chain that they lead to.
func (l *tupleLookUp) add(r plan.Ruleset, base, target plan.Chain, tuples []conntrack.Tuple) plan.Ruleset {
	for _, m := range tupleMaps {
		set := l.set(&m, tuples)
		if len(set.Tuples) == 0 {
			continue
		}
		r.Sets = append(slices.Clip(r.Sets), set)
		base.Rules = append(base.Rules, plan.ChainRule{
			Matches: append([]plan.Match{plan.NFProto(m.family)}, l.matches...),
			Actions: []plan.Action{plan.ConcatVMap{Fields: m.fields, Set: set.Name}},
		})
	}
	r.Chains = slices.Concat(r.Chains, []plan.Chain{target, base})
	return r
}

// tupleMap is a map of tuples of one IP version, with or without ports.
type tupleMap struct {
	suffix string
	family plan.Family
	fields plan.FieldList
}

var tupleMaps = []tupleMap{
	{"-4", plan.IPv4, plan.FieldList{plan.FieldIPSAddr, plan.FieldIPDAddr, plan.FieldL4Proto, plan.FieldSPort, plan.FieldDPort}},
	{"-6", plan.IPv6, plan.FieldList{plan.FieldIP6SAddr, plan.FieldIP6DAddr, plan.FieldL4Proto, plan.FieldSPort, plan.FieldDPort}},
	{"-4-without-ports", plan.IPv4, plan.FieldList{plan.FieldIPSAddr, plan.FieldIPDAddr, plan.FieldL4Proto}},
	{"-6-without-ports", plan.IPv6, plan.FieldList{plan.FieldIP6SAddr, plan.FieldIP6DAddr, plan.FieldL4Proto}},
}

func (m *tupleMap) withPorts() bool { return m.fields[3] != 0 }

func (l *tupleLookUp) set(m *tupleMap, tuples []conntrack.Tuple) plan.Set {
	s := plan.Set{Name: l.prefix + m.suffix, Map: true, Comment: l.comment}
	for _, f := range m.fields {
		if f != 0 {
			s.Concat = append(s.Concat, f.Type())
		}
	}
	for i := range tuples {
		t := &tuples[i]
		if plan.FamilyOf(t.Src) == m.family && t.HasPorts == m.withPorts() && !ipproto.IsICMP(t.Proto) {
			s.Tuples = append(s.Tuples, m.tuple(s.Concat, t, l.target))
		}
	}
	sorting.Func(s.Tuples, plan.CompareTuples)
	s.Tuples = slices.Compact(s.Tuples)
	return s
}

func (m *tupleMap) tuple(types []plan.Type, t *conntrack.Tuple, target string) plan.Tuple {
	keys := []plan.Key{plan.KeyFromAddr(t.Src), plan.KeyFromAddr(t.Dst), plan.KeyFromUint8(t.Proto),
		plan.KeyFromUint16(t.SPort), plan.KeyFromUint16(t.DPort)}
	spans := make([]plan.Span, len(types))
	for i := range spans {
		spans[i] = plan.Span{From: keys[i], To: keys[i]}
	}
	return plan.PackTuple(types, spans, target)
}
