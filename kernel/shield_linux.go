package kernel

import (
	"slices"

	"pbr/compiler/plan"
)

// shields returns copies of rules that look up tables by mark, for the time in which two spans of
// rule priorities exist. They stand in front of the lower span's rules for packets without its
// marks, which would otherwise catch packets of the higher span.
func shields(lower, higher []plan.Rule, base uint32) (out []plan.Rule) {
	for _, r := range higher {
		if r.Mark == 0 || r.Action != plan.ActLookup || r.Protocol != plan.Protocol {
			continue
		}
		same := func(l plan.Rule) bool {
			return l.Family == r.Family && l.Mark == r.Mark && l.MarkMask == r.MarkMask && l.Table == r.Table && l.Action == r.Action
		}
		if !slices.ContainsFunc(lower, same) {
			r.Priority = base + 1 // -- directly after what comes before all marks
			out = append(out, r)
		}
	}
	return out
}

// missing returns the rules that others do not contain.
func missing(rules, among []plan.Rule) []plan.Rule {
	return slices.DeleteFunc(rules, func(r plan.Rule) bool { return slices.Contains(among, r) })
}

// inSpan returns the rules in the span of priorities that starts at base.
func inSpan(rules []plan.Rule, base uint32) []plan.Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r plan.Rule) bool { return !plan.InSpan(base, r.Priority) })
}

// shield merges temporary rules into an order.
func (o *ruleOrder) shield(rules []plan.Rule) {
	o.add, o.del = slices.Concat(o.add, rules), slices.Concat(o.del, rules)
	o.sort()
}

// shieldMarks shields the packets of connections that are routed by marks while the plan moves to
// other priorities.
func (a *application) shieldMarks(o *ruleOrder, have *live) {
	if a.marks == nil || len(a.journal.Owned) == 0 {
		return
	}
	was, base := a.journal.Owned[0].BasePriority, a.want.BasePriority
	old := inSpan(have.plan.Rules, was)
	var rules []plan.Rule
	switch {
	case was < base:
		rules = shields(old, a.want.Rules, was)
	case was > base:
		rules = shields(a.want.Rules, old, base)
	}
	// Those that a killed apply left exist already, and are removed with the others.
	o.shield(missing(rules, have.plan.Rules))
}
