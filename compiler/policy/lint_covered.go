package policy

import "slices"

// lintCovered warns of policies that never match because an earlier one takes all of their packets.
// Each policy that is not covered itself enters an index under its most telling field, so that only
// few are compared, whatever the number of policies. It returns how many comparisons it took.
func (p *parser) lintCovered() (compared int) {
	m := newMatcher(p)
	all := make([]match, len(p.doc.Policies))
	x := newCoverIndex(all)
	for i := range all {
		all[i] = m.policy(&p.doc.Policies[i])
		x.count(&all[i])
	}
	for i := range all {
		pol := &p.doc.Policies[i]
		if all[i].empty() {
			if hasNegation(pol) {
				p.errorf(pol.Pos, codeImpossible, "policy", "", "policy %q: nothing can match: what is negated leaves nothing", pol.Name)
			}
			continue
		}
		by := x.find(int32(i))
		if by < 0 {
			x.add(int32(i))
			continue
		}
		first := &p.doc.Policies[by]
		if all[i].covers(&all[by]) {
			p.warnf(pol.Pos, codeSameMatch, "policy", "", "policy %q can never match: policy %q at line %d matches exactly the same",
				pol.Name, first.Name, first.Pos.Line)
		} else {
			p.warnf(pol.Pos, codeCovered, "policy", "move the narrower policy before the wider one",
				"policy %q can never match: policy %q at line %d takes all of its packets", pol.Name, first.Name, first.Pos.Line)
		}
	}
	return x.compared
}

func hasNegation(pol *Policy) bool {
	return slices.ContainsFunc(append(slices.Clone(pol.Src), pol.Dst...), func(item AddrItem) bool { return item.Not }) ||
		slices.ContainsFunc(append(slices.Clone(pol.SPort), pol.DPort...), func(item PortItem) bool { return item.Not }) ||
		slices.ContainsFunc(append(slices.Clone(pol.Proto), pol.DSCP...), func(item NumItem) bool { return item.Not })
}
