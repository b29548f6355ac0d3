package plan

import "slices"

// Renumber returns a copy of p in which names have other marks and tables; marks are under p's
// mask, without its Inside, which is kept. Gotos are omitted: they skip rules by bits of the old
// marks, and every packet is treated alike without them. p and the copy share what is not changed.
func Renumber(p *Plan, names map[string]Number) *Plan {
	r := renumbering{mask: p.Mask, numbers: p.NumberMask(), marks: map[uint32]uint32{}, tables: map[uint32]uint32{}}
	out := *p
	out.Numbers = slices.Clone(p.Numbers)
	for i := range out.Numbers {
		n := &out.Numbers[i]
		if next, changes := names[n.Name]; changes {
			r.marks[n.Mark], r.tables[n.Table] = next.Mark, next.Table
			r.marks[n.Mark|p.Inside] = next.Mark | p.Inside
			n.Mark, n.Table = next.Mark, next.Table
		}
	}
	out.Rules = r.rules(p.Rules)
	out.Routes = slices.Clone(p.Routes)
	for i := range out.Routes {
		out.Routes[i].Table = replaced(r.tables, out.Routes[i].Table)
	}
	out.Ruleset.Sets = r.sets(p.Ruleset.Sets)
	out.Ruleset.Chains = r.chains(p.Ruleset.Chains)
	Sort(&out)
	return &out
}

// renumbering has the new marks and tables by the old ones.
type renumbering struct {
	// mask and numbers are the plan's Mask and NumberMask.
	mask, numbers uint32
	marks, tables map[uint32]uint32
}

func replaced(by map[uint32]uint32, v uint32) uint32 {
	if next, changes := by[v]; changes {
		return next
	}
	return v
}

func (r *renumbering) rules(rules []Rule) (out []Rule) {
	for _, x := range rules {
		if x.Action == ActGoto || x.Action == ActNop {
			continue
		}
		if x.MarkMask == r.mask || x.MarkMask == r.numbers {
			x.Mark = replaced(r.marks, x.Mark)
		}
		x.Table = replaced(r.tables, x.Table)
		out = append(out, x)
	}
	return out
}

// sets changes the sets that have marks as keys. Those that only others' bits can be in have none
// of r's.
func (r *renumbering) sets(sets []Set) []Set {
	out := slices.Clone(sets)
	for i := range out {
		if out[i].Type != TypeMark {
			continue
		}
		out[i].Elements = slices.Clone(out[i].Elements)
		for j := range out[i].Elements {
			e := &out[i].Elements[j]
			if e.From == e.To {
				e.From = KeyFromUint32(replaced(r.marks, e.From.Uint(TypeMark)))
				e.To = e.From
			}
		}
	}
	return out
}

func (r *renumbering) chains(chains []Chain) []Chain {
	out := slices.Clone(chains)
	for i := range out {
		out[i].Rules = slices.Clone(out[i].Rules)
		for j := range out[i].Rules {
			r.rule(&out[i].Rules[j])
		}
	}
	return out
}

func (r *renumbering) rule(x *ChainRule) {
	x.Matches, x.Actions = slices.Clone(x.Matches), slices.Clone(x.Actions)
	for i := range x.Matches {
		m := &x.Matches[i]
		if (m.Field == FieldMark || m.Field == FieldCTMark) && m.Mask == r.mask && m.Set == "" && m.From == m.To {
			m.From = KeyFromUint32(replaced(r.marks, m.From.Uint(TypeMark)))
			m.To = m.From
		}
	}
	for i, a := range x.Actions {
		switch a := a.(type) {
		case SetMark:
			if a.Mask == r.mask {
				x.Actions[i] = SetMark{a.Mask, replaced(r.marks, a.Value)}
			}
		case SetCTMark:
			if a.Mask == r.mask {
				x.Actions[i] = SetCTMark{a.Mask, replaced(r.marks, a.Value)}
			}
		}
	}
}
