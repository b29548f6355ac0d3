package kernel

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
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
		c := &want.Chains[i]
		// Every plan has these chains, so if they are missing somebody removed them; others may be
		// new in this plan.
		if c.Hook != "" && c.Kind != "nat" && c.Hook != "forward" && c.Hook != "input" && rulesOf(have, c.Name) == 0 {
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
// destination NAT.
const answersPriority = -150

// withoutAnswers returns a ruleset that drops packets which would start a connection with one of
// the tuples.
func withoutAnswers(r plan.Ruleset, answers []conntrack.Tuple) plan.Ruleset {
	arrived := plan.Chain{Name: "late-answers", Kind: "filter", Hook: "prerouting", Priority: answersPriority}
	for _, m := range answerMaps {
		set := m.set(answers)
		if len(set.Tuples) == 0 {
			continue
		}
		r.Sets = append(slices.Clip(r.Sets), set)
		arrived.Rules = append(arrived.Rules, m.lookUp())
	}
	drop := plan.Chain{Name: "late-answer", Rules: []plan.ChainRule{{Actions: []plan.Action{plan.Drop{}}}}}
	r.Chains = slices.Concat(r.Chains, []plan.Chain{drop, arrived})
	return r
}

// answerMap is a map of tuples of one IP version, with or without ports.
type answerMap struct {
	name   string
	family plan.Family
	fields plan.FieldList
}

var answerMaps = []answerMap{
	{"late-answers-4", plan.IPv4, plan.FieldList{plan.FieldIPSAddr, plan.FieldIPDAddr, plan.FieldL4Proto,
		plan.FieldSPort, plan.FieldDPort}},
	{"late-answers-6", plan.IPv6, plan.FieldList{plan.FieldIP6SAddr, plan.FieldIP6DAddr, plan.FieldL4Proto,
		plan.FieldSPort, plan.FieldDPort}},
	{"late-answers-4-without-ports", plan.IPv4, plan.FieldList{plan.FieldIPSAddr, plan.FieldIPDAddr, plan.FieldL4Proto}},
	{"late-answers-6-without-ports", plan.IPv6, plan.FieldList{plan.FieldIP6SAddr, plan.FieldIP6DAddr, plan.FieldL4Proto}},
}

func (m *answerMap) withPorts() bool { return m.fields[3] != 0 }

func (m *answerMap) set(answers []conntrack.Tuple) plan.Set {
	s := plan.Set{Name: m.name, Map: true, Comment: "answers to connections that were just deleted"}
	for _, f := range m.fields {
		if f != 0 {
			s.Concat = append(s.Concat, f.Type())
		}
	}
	for i := range answers {
		t := &answers[i]
		if plan.FamilyOf(t.Src) == m.family && t.HasPorts == m.withPorts() && !isICMP(t.Proto) {
			s.Tuples = append(s.Tuples, m.tuple(s.Concat, t))
		}
	}
	slices.SortFunc(s.Tuples, plan.CompareTuples)
	s.Tuples = slices.Compact(s.Tuples)
	return s
}

// isICMP reports whether a protocol's answers never start a connection (RFC 792, RFC 4443).
func isICMP(proto uint8) bool { return proto == 1 || proto == 58 }

func (m *answerMap) tuple(types []plan.Type, t *conntrack.Tuple) plan.Tuple {
	keys := []plan.Key{plan.KeyFromAddr(t.Src), plan.KeyFromAddr(t.Dst), plan.KeyFromUint8(t.Proto),
		plan.KeyFromUint16(t.SPort), plan.KeyFromUint16(t.DPort)}
	spans := make([]plan.Span, len(types))
	for i := range spans {
		spans[i] = plan.Span{From: keys[i], To: keys[i]}
	}
	return plan.PackTuple(types, spans, "late-answer")
}

// lookUp returns the rule that looks up new connections.
func (m *answerMap) lookUp() plan.ChainRule {
	return plan.ChainRule{
		Matches: []plan.Match{plan.NFProto(m.family), {Field: plan.FieldCTState, Mask: walk.StateNew, Not: true}},
		Actions: []plan.Action{plan.ConcatVMap{Fields: m.fields, Set: m.name}},
	}
}
