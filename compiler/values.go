package compiler

import (
	"slices"
	"strings"

	"pbr/compiler/interval"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
)

// item is one value or interval of a selector.
type item struct {
	from, to plan.Key
	not      bool
}

// portIntervals are good until the next ones are made, like numIntervals and macIntervals.
func (c *classifier) portIntervals(ports []policy.PortItem) []item {
	c.items = c.items[:0]
	for _, p := range ports {
		c.items = append(c.items, item{plan.KeyFromUint16(p.From), plan.KeyFromUint16(p.To), p.Not})
	}
	return c.items
}

func (c *classifier) numIntervals(t plan.Type, nums []policy.NumItem) []item {
	c.items = c.items[:0]
	for _, n := range nums {
		c.items = append(c.items, item{plan.KeyFromUint(t, n.From), plan.KeyFromUint(t, n.To), n.Not})
	}
	return c.items
}

func (c *classifier) macIntervals(macs []policy.MACItem) []item {
	c.items = c.items[:0]
	for _, m := range macs {
		k := plan.KeyFromMAC(m.Addr)
		c.items = append(c.items, item{from: k, to: k})
	}
	return c.items
}

// oneOf adds the matches for a selector's items: the value is one of the plain ones, and none of
// the negated ones. More than one value becomes a set named after the policy and the selector.
func (s *selection) oneOf(m []plan.Match, field plan.Field, selector string, items []item) []plan.Match {
	if len(items) == 1 { // as most selectors that a policy has
		return append(m, plan.Match{Field: field, From: items[0].from, To: items[0].to, Not: items[0].not})
	}
	for _, not := range []bool{false, true} {
		if elements := merged(field.Type(), items, not); len(elements) > 0 {
			m = append(m, s.match(field, selector, elements, not))
		}
	}
	return m
}

// setName is the name of the set of a selector's values.
func (s *selection) setName(selector string, not bool) string {
	name := "policy-" + s.policy.Name + "-" + selector
	if not {
		name += "-not"
	}
	return name
}

// match compares with a single value or interval directly, and with more of them by a set.
func (s *selection) match(field plan.Field, selector string, elements []plan.Element, not bool) plan.Match {
	if len(elements) == 1 {
		return plan.Match{Field: field, From: elements[0].From, To: elements[0].To, Not: not}
	}
	return s.matchSet(field, selector, elements, not)
}

// matchSet looks the value up in a set of the elements, which several policies may share.
func (s *selection) matchSet(field plan.Field, selector string, elements []plan.Element, not bool) plan.Match {
	if name := sharedName(field.Type(), elements); name != "" {
		s.c.addSet(plan.Set{Name: name, Type: field.Type(), Elements: elements})
		return plan.Match{Field: field, Set: name, Not: not}
	}
	set := s.setName(selector, not)
	s.c.addSet(plan.Set{Name: set, Type: field.Type(), Comment: "policy " + s.policy.Name, Elements: elements})
	return plan.Match{Field: field, Set: set, Not: not}
}

// merged returns the items with that negation as sorted elements, none overlapping. Intervals that
// touch are joined, but single values are left alone: a set of them is a hash, which is faster than
// a set of intervals.
func merged(t plan.Type, items []item, not bool) []plan.Element {
	if len(items) == 1 && items[0].not == not {
		return []plan.Element{{From: items[0].from, To: items[0].to}}
	}
	var list []plan.Span
	for _, i := range items {
		if i.not == not {
			list = append(list, plan.Span{From: i.from, To: i.to})
		}
	}
	if slices.ContainsFunc(list, func(s plan.Span) bool { return s.From != s.To }) {
		list = interval.Merge(plan.Keys{Type: t}, list)
	} else {
		sorting.Func(list, func(a, b plan.Span) int { return a.From.Compare(b.From) })
		list = slices.Compact(list)
	}
	out := make([]plan.Element, 0, len(list))
	for _, s := range list {
		out = append(out, plan.Element{From: s.From, To: s.To})
	}
	return out
}

// addSet makes a set known, once; several selectors may have the same.
func (c *classifier) addSet(s plan.Set) {
	if c.sets[s.Name] == nil {
		s.Interval = slices.ContainsFunc(s.Elements, func(e plan.Element) bool { return e.From != e.To })
		c.sets[s.Name] = &s
	}
}

// addresses returns the alternatives for src or dst in one family: the addresses written in the
// policy are one, each list another; negated ones are part of every alternative. ok is false when
// the policy names addresses, but none of this family. A set of them is named after the selector.
func (s *selection) addresses(field plan.Field, selector string, family plan.Family,
	items []policy.AddrItem) (alternatives [][]plan.Match, ok bool) {
	switch {
	case len(items) == 0:
		return anyPacket, true
	case len(items) == 1 && items[0].List == "" && !items[0].Not: // as most
		return s.address(field, family, &items[0].Range)
	}
	inline := make([]item, 0, len(items))
	var never []plan.Match
	positive := false
	for _, a := range items {
		positive = positive || !a.Not
		if a.List != "" {
			for _, set := range s.c.listSets(a.List, family) {
				m := plan.Match{Field: field, Set: set, Not: a.Not}
				if a.Not {
					never = append(never, m)
				} else {
					alternatives = append(alternatives, []plan.Match{m})
				}
			}
		} else if plan.FamilyOf(a.Range.From) == family {
			inline = append(inline, item{plan.KeyFromAddr(a.Range.From), plan.KeyFromAddr(a.Range.To), a.Not})
		}
	}
	if e := merged(field.Type(), inline, false); len(e) > 0 {
		alternatives = append([][]plan.Match{{s.match(field, selector, e, false)}}, alternatives...)
	}
	if e := merged(field.Type(), inline, true); len(e) > 0 {
		never = append([]plan.Match{s.match(field, selector, e, true)}, never...)
	}
	if !positive {
		return [][]plan.Match{never}, true
	}
	for i := range alternatives {
		alternatives[i] = append(alternatives[i], never...)
	}
	return alternatives, len(alternatives) > 0
}

// address returns the one alternative for the addresses of a range, if it is of the family.
func (s *selection) address(field plan.Field, family plan.Family, r *policy.Range) (alternatives [][]plan.Match, ok bool) {
	if plan.FamilyOf(r.From) != family {
		return nil, false
	}
	m := plan.Match{Field: field, From: plan.KeyFromAddr(r.From), To: plan.KeyFromAddr(r.To)}
	return s.c.alternative(append(s.c.matches.Take(1), m)), true
}

// fromAlternatives returns the alternatives for the arriving interfaces of forwarded traffic.
// Packets that arrive on an uplink never come here, so an absent from needs no match.
func (c *classifier) fromAlternatives(p *policy.Policy) [][]plan.Match {
	if len(p.From) == 0 {
		return anyPacket
	}
	s := &selection{c: c, policy: p}
	var names []item
	var wild, never []plan.Match
	positive := false
	for _, n := range p.From {
		positive = positive || !n.Not
		if base, ok := strings.CutSuffix(n.Name, "*"); ok {
			m := plan.Match{Field: plan.FieldIIFName, From: plan.KeyFromString(base), Wildcard: true, Not: n.Not}
			m.To = m.From
			if n.Not {
				never = append(never, m)
			} else {
				wild = append(wild, m)
			}
			continue
		}
		k := plan.KeyFromString(n.Name)
		names = append(names, item{k, k, n.Not})
	}
	var alternatives [][]plan.Match
	if e := merged(plan.TypeIfname, names, false); len(e) > 0 {
		alternatives = append(alternatives, when(s.match(plan.FieldIIFName, "from", e, false)))
	}
	if e := merged(plan.TypeIfname, names, true); len(e) > 0 {
		never = append(never, s.match(plan.FieldIIFName, "from", e, true))
	}
	for _, m := range wild {
		alternatives = append(alternatives, when(m))
	}
	if !positive {
		return [][]plan.Match{never}
	}
	for i := range alternatives {
		alternatives[i] = append(alternatives[i], never...)
	}
	return alternatives
}
