package compiler

import (
	"slices"

	"pbr/compiler/plan"
)

// fewestOfVersion is how many rules a list must have for one IP version alone, of each, to become
// two lists: below that, choosing the list costs a packet what it saves. A rule that is for the
// other version costs it 10 ns, measured as in docs/performance.md.
const fewestOfVersion = 2

// chainOfVersion names the part of a list that is for one IP version.
func chainOfVersion(list string, family plan.Family) string { return list + "-" + familySuffix(family) }

// byVersion returns the chains of a list. Where it looks into maps, which are for one IP version
// each, a packet should meet those of its own alone. A list of rules stays as it is written.
func byVersion(list string, rules []plan.ChainRule, maps bool) []plan.Chain {
	whole := plan.Chain{Name: list, Rules: rules}
	if !maps {
		return []plan.Chain{whole}
	}
	var chains []plan.Chain
	var choice []plan.ChainRule
	for _, family := range plan.Families {
		alone := 0
		part := plan.Chain{Name: chainOfVersion(list, family)}
		for _, r := range rules {
			switch only := versionOf(&r); only {
			case family:
				alone++
				part.Rules = append(part.Rules, r)
			case 0:
				part.Rules = append(part.Rules, r)
			}
		}
		if alone < fewestOfVersion {
			return []plan.Chain{whole}
		}
		chains = append(chains, part)
		choice = append(choice, rule("", when(plan.NFProto(family)), gotoChain(part.Name)))
	}
	return append(chains, plan.Chain{Name: list, Rules: choice})
}

// versionOf returns the only IP version whose packets a rule can match, 0 if there are two.
func versionOf(r *plan.ChainRule) plan.Family {
	for i := range r.Matches {
		if f := r.Matches[i].Family(); f != 0 {
			return f
		}
	}
	return 0
}

// entry names the chain by which packets of an IP version enter the list of the policies for
// forwarded traffic.
func (out *classification) entry(family plan.Family) string {
	part := chainOfVersion(chainClassify, family)
	if slices.ContainsFunc(out.chains, func(ch plan.Chain) bool { return ch.Name == part }) {
		return part
	}
	return chainClassify
}
