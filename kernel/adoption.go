package kernel

import (
	"slices"

	"pbr/compiler/plan"
)

// tableMade reports whether a plan's table is about to be made, or made whole again: connections
// may then be there that it never saw. last is the ruleset that the last apply left, as far as that
// is known.
func tableMade(have, want, last *plan.Ruleset) bool {
	if want.Empty() {
		return false
	}
	for i := range want.Chains {
		c := &want.Chains[i]
		// A plan always has these, so that somebody took them away; the others may come by an edit.
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

// rulesOf returns how many rules a chain has.
func rulesOf(r *plan.Ruleset, chain string) int {
	for i := range r.Chains {
		if r.Chains[i].Name == chain {
			return len(r.Chains[i].Rules)
		}
	}
	return 0
}

// freeMark returns a mark that is no table's; ok is false if the mask has none left.
func freeMark(p *plan.Plan) (mark uint32, ok bool) {
	for mark = p.Mask; mark != 0; mark = (mark - 1) & p.Mask {
		if !slices.ContainsFunc(p.Numbers, func(n plan.Number) bool { return n.Mark == mark }) {
			return mark, true
		}
	}
	return 0, false
}

// stopPriority is that of mangle (linux/netfilter_ipv4.h), after conntrack.
const stopPriority = -150

// withStop returns a ruleset that drops all packets of connections with a mark.
func withStop(r plan.Ruleset, mask, mark uint32) plan.Ruleset {
	k := plan.KeyFromUint32(mark)
	stop := []plan.ChainRule{{
		Matches: []plan.Match{{Field: plan.FieldCTMark, Mask: mask, From: k, To: k}}, Actions: []plan.Action{{Kind: plan.Drop}},
		Comment: "older than the table, and about to be deleted",
	}}
	r.Chains = slices.Concat(r.Chains, []plan.Chain{
		{Name: "stop-arrived", Kind: "filter", Hook: "prerouting", Priority: stopPriority, Rules: stop},
		{Name: "stop-sent", Kind: "filter", Hook: "output", Priority: stopPriority, Rules: stop},
	})
	return r
}
