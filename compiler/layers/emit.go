package layers

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// emit makes the rules, maps and chains.
func (b *builder) emit(steps []step) *Result {
	out := &Result{}
	led := make([]bool, len(b.policies))
	b.nameMaps(steps)
	for l := range steps {
		for _, i := range steps[l].rules {
			out.Rules = append(out.Rules, b.ruleOf(&b.items[i])...)
		}
		for _, g := range steps[l].groups {
			if g.kind == singly {
				slices.Sort(g.boxes)
				for _, n := range g.boxes {
					out.Rules = append(out.Rules, b.boxRule(&b.boxes[n])...)
				}
				continue
			}
			s := b.mapOf(&g)
			out.Rules = append(out.Rules, b.lookUpRule(&g))
			out.Sets = append(out.Sets, s)
			for _, n := range g.boxes {
				i := b.items[b.boxes[n].item].policy
				led[i] = b.policies[i].Direct == ""
			}
		}
	}
	sorting.Func(out.Sets, func(x, y plan.Set) int { return strings.Compare(x.Name, y.Name) })
	for i, used := range led {
		if used {
			p := &b.policies[i]
			out.Chains = append(out.Chains, plan.Chain{Name: ChainOf(p.Name), Rules: p.Body()})
		}
	}
	return out
}

// nameMaps names the maps. Of those with the same keys in different layers the largest has the
// plain name, so that a change of the layers leaves it where it is.
func (b *builder) nameMaps(steps []step) {
	same := map[string][]*group{}
	for l := range steps {
		for i := range steps[l].groups {
			g := &steps[l].groups[i]
			name := b.mapName(g)
			same[name] = append(same[name], g)
		}
	}
	for name, groups := range same {
		sorting.Func(groups, func(x, y *group) int { return cmp.Compare(len(y.boxes), len(x.boxes)) })
		for i, g := range groups {
			if g.name = name; i > 0 {
				g.name += "-" + strconv.Itoa(i+1)
			}
		}
	}
}

// ruleOf is a selection as it is in the list.
func (b *builder) ruleOf(it *item) []plan.ChainRule {
	return withMatches(b.policies[it.policy].Body(), it.matches)
}

// boxRule is a rule for one box.
func (b *builder) boxRule(one *box) []plan.ChainRule {
	it := &b.items[one.item]
	if it.to == it.from+1 {
		return b.ruleOf(it)
	}
	var matches []plan.Match
	if one.fields&addresses == 0 { // addresses test the family themselves
		matches = familyMatch(one.family)
	}
	for left := one.fields; left != 0; left = left.rest() {
		d := left.first()
		matches = append(matches, plan.Match{Field: d.field(one.family), From: one.span(d).From.key(), To: one.span(d).To.key()})
	}
	return withMatches(b.policies[it.policy].Body(), matches)
}

// familyMatch tests the family. A look-up in a map needs it, also of addresses.
func familyMatch(f plan.Family) []plan.Match {
	if f == 0 {
		return nil
	}
	return []plan.Match{plan.NFProto(f)}
}

// prefixLength is how many bits of the field a map by exact keys looks at, 0 for all of them.
func (g *group) prefixLength(d dim) uint8 {
	n := g.src
	if d == dimDst {
		n = g.dst
	}
	if g.kind != exact || !addresses.has(d) || int(n) == 8*d.width(g.family) {
		return 0
	}
	return n
}

// mapOf is the map of a group.
func (b *builder) mapOf(g *group) plan.Set {
	s := plan.Set{Name: g.name, Map: true, Counted: true, Interval: g.kind == ranges, Comment: "policies of " + b.chain}
	var dims []dim
	var types []plan.Type
	for d := range dimCount {
		if g.fields.has(d) {
			dims, types = append(dims, d), append(types, d.field(g.family).Type())
		}
	}
	leads := func(one *box) (chain, counter string) {
		p := &b.policies[b.items[one.item].policy]
		return cmp.Or(p.Direct, ChainOf(p.Name)), p.Counter
	}
	if len(dims) == 1 {
		s.Type = types[0]
		s.Elements = make([]plan.Element, 0, len(g.boxes))
		for _, n := range g.boxes {
			one := &b.boxes[n]
			in := one.span(dims[0])
			e := plan.Element{From: in.From.key(), To: in.To.key()}
			e.Goto, e.Counter = leads(one)
			if g.kind == exact {
				e.To = e.From
			}
			s.Elements = append(s.Elements, e)
		}
		sorting.Func(s.Elements, func(x, y plan.Element) int { return x.From.Compare(y.From) })
		return s
	}
	s.Concat = types
	s.Tuples = make([]plan.Tuple, 0, len(g.boxes))
	spans := make([]plan.Span, len(dims))
	for _, n := range g.boxes {
		one := &b.boxes[n]
		for i, d := range dims {
			spans[i] = plan.AllOf(types[i])
			if one.fields.has(d) {
				spans[i] = plan.Span{From: one.span(d).From.key(), To: one.span(d).To.key()}
			}
			if g.kind == exact {
				spans[i].To = spans[i].From
			}
		}
		chain, counter := leads(one)
		e := plan.PackTuple(types, spans, chain)
		e.Counter = counter
		s.Tuples = append(s.Tuples, e)
	}
	sorting.Func(s.Tuples, plan.CompareTuples)
	return s
}

// mapName is the name of a group's map, by what its keys are. Neither what is in it nor the layer
// changes the name, so that an edit of the policy is one of elements.
func (b *builder) mapName(g *group) string {
	name := b.chain
	switch g.family {
	case plan.IPv4:
		name += "-ip"
	case plan.IPv6:
		name += "-ip6"
	}
	for d := range dimCount {
		if !g.fields.has(d) {
			continue
		}
		name += "-" + dimNames[d]
		if n := g.prefixLength(d); n > 0 {
			name += "/" + strconv.Itoa(int(n))
		}
	}
	if g.kind == ranges {
		name += "-ranges"
	}
	return name
}

// maxComment leaves room in a rule's comment of 127 bytes (plan.ChainRule).
const maxComment = 100

// lookUpRule looks the packet up in a group's map.
func (b *builder) lookUpRule(g *group) plan.ChainRule {
	look := plan.ConcatVMap{Set: g.name}
	n := 0
	for d := range dimCount {
		if g.fields.has(d) {
			look.Fields[n], look.Prefixes[n] = d.field(g.family), g.prefixLength(d)
			n++
		}
	}
	r := plan.ChainRule{Matches: familyMatch(g.family), Actions: []plan.Action{look}, Comment: b.comment(g)}
	if n == 1 {
		r.Actions[0] = plan.VMap{Field: look.Fields[0], Prefix: look.Prefixes[0], Set: g.name}
	}
	return r
}

// comment names a group's policies, if there are few.
func (b *builder) comment(g *group) string {
	boxes := g.boxes
	if !slices.IsSorted(boxes) {
		boxes = slices.Sorted(slices.Values(boxes))
	}
	var names []string
	length, last := 0, int32(-1)
	for _, n := range boxes {
		p := b.items[b.boxes[n].item].policy
		if p == last {
			continue
		}
		last = p
		names = append(names, b.policies[p].Name)
		if length += len(b.policies[p].Name) + 2; length > maxComment {
			return "policies"
		}
	}
	if len(names) == 1 {
		return "policy " + names[0]
	}
	return "policies " + strings.Join(names, ", ")
}
