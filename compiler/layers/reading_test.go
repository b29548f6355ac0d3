package layers

import (
	"slices"
	"strings"

	"pbr/compiler/plan"
)

// packet has a value for each field of its family.
type packet struct {
	family plan.Family
	values map[plan.Field]plan.Key
}

// verdictOf walks the rules, and the chains that they go to, until one goes to a chain of a mark: the plainest reading.
func verdictOf(rules []plan.ChainRule, r *Result, sets map[string]*plan.Set, p packet) string {
	for i := range rules {
		if !slices.ContainsFunc(rules[i].Matches, func(m plan.Match) bool { return !holds(&m, sets, p) }) {
			if to := target(&rules[i].Actions[0], r, p); to != "" {
				if strings.HasPrefix(to, "mark-") {
					return to
				}
				return verdictOf(chainNamed(r, to).Rules, r, sets, p)
			}
		}
	}
	return ""
}

func chainNamed(r *Result, name string) *plan.Chain {
	for i := range r.Chains {
		if r.Chains[i].Name == name {
			return &r.Chains[i]
		}
	}
	panic("there is no chain " + name)
}

func holds(m *plan.Match, sets map[string]*plan.Set, p packet) bool {
	if f := familyOf(m); f != 0 && f != p.family {
		return false
	}
	v := p.values[m.Field]
	if m.Field == plan.FieldMark {
		v[3] &= 1
	}
	if m.Set == "" {
		return (m.From.Compare(v) <= 0 && v.Compare(m.To) <= 0) != m.Not
	}
	return slices.ContainsFunc(sets[m.Set].Elements, func(e plan.Element) bool { return e.From.Compare(v) <= 0 && v.Compare(e.To) <= 0 }) != m.Not
}

// target is the chain that an action goes to.
func target(a *plan.Action, r *Result, p packet) string {
	if a.Kind == plan.Goto {
		return a.Chain
	}
	fields, prefixes := a.Fields, a.Prefixes
	if a.Field != 0 {
		fields[0], prefixes[0] = a.Field, a.Prefix
	}
	var types []plan.Type
	var keys []plan.Key
	for i, f := range fields {
		if f == 0 {
			break
		}
		k, ok := p.values[f]
		if !ok {
			return ""
		}
		if n := int(prefixes[i]); n > 0 {
			for j, m := range plan.PrefixMask(f.Type(), n) {
				k[j] &= m
			}
		}
		types, keys = append(types, f.Type()), append(keys, k)
	}
	for i := range r.Sets {
		if r.Sets[i].Name == a.Set {
			return inMap(&r.Sets[i], types, keys)
		}
	}
	panic("there is no map " + a.Set)
}

func inMap(s *plan.Set, types []plan.Type, keys []plan.Key) string {
	for _, e := range s.Elements {
		if e.From.Compare(keys[0]) <= 0 && keys[0].Compare(e.To) <= 0 {
			return e.Goto
		}
	}
	for i := range s.Tuples {
		spans := s.Tuples[i].Spans(types)
		in := true
		for j, k := range keys {
			in = in && spans[j].From.Compare(k) <= 0 && k.Compare(spans[j].To) <= 0
		}
		if in {
			return s.Tuples[i].Goto
		}
	}
	return ""
}
