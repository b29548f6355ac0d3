package daemon

import (
	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// OutlineTarget is the target of a policy or rule.
type OutlineTarget struct {
	// Kind is "uplink", "table", "balance", "default", "main", or a policy's action "unreachable"
	// or "drop"; empty for a rule that leads nowhere.
	Kind string `json:"kind"`
	// Name is empty for default and main.
	Name string `json:"name,omitempty"`
	// Strict means that its connections use nothing else.
	Strict bool `json:"strict,omitempty"`
}

// OutlineSelector is a policy.
type OutlineSelector struct {
	Name   string        `json:"name"`
	Line   int           `json:"line"`
	Target OutlineTarget `json:"target"`
	// Counter is the named counter that counts its connections.
	Counter string `json:"counter"`
	// Only is the IP version that it can match; 0 if that is both, or not known.
	Only plan.Family `json:"only,omitempty"`
	// Schedule is the set of the windows in which it is in force, empty if it always is.
	Schedule string `json:"schedule,omitempty"`
}

// OutlineRule is a stateless rule.
type OutlineRule struct {
	Name string `json:"name"`
	Line int    `json:"line"`
	// Action is "lookup", "lookup-only-in-table", "unreachable", "prohibit" or "drop".
	Action string        `json:"action"`
	Target OutlineTarget `json:"target"`
	// Priority is that of its ip rules.
	Priority uint32 `json:"priority"`
}

var targetKinds = map[policy.TargetKind]string{
	policy.ToTable: "table", policy.ToUplink: "uplink", policy.ToBalance: "balance", policy.ToDefault: "default", policy.ToMain: "main",
	policy.ToUnreachable: "unreachable", policy.ToDrop: "drop",
}

var ruleActions = map[policy.RuleAction]string{
	policy.RuleLookup: "lookup", policy.RuleLookupOnly: "lookup-only-in-table", policy.RuleUnreachable: "unreachable",
	policy.RuleProhibit: "prohibit", policy.RuleDrop: "drop",
}

// outlineSelectors are all policies, in their order.
func outlineSelectors(doc *policy.Document) []OutlineSelector {
	list := make([]OutlineSelector, 0, len(doc.Policies))
	for i := range doc.Policies {
		p := &doc.Policies[i]
		target := OutlineTarget{targetKinds[p.Target.Kind], p.Target.Name, p.Strict}
		list = append(list, OutlineSelector{p.Name, p.Pos.Line, target, compiler.PolicyCounter(p), onlyVersion(p), compiler.ScheduleSet(p)})
	}
	return list
}

// onlyVersion is OutlineSelector.Only of a policy.
func onlyVersion(p *policy.Policy) plan.Family {
	for i, family := range plan.Families {
		if !p.MayMatch(int(family)) {
			return plan.Families[1-i]
		}
	}
	return 0
}

// outlineRules are all rules, in the file's order.
func outlineRules(doc *policy.Document) []OutlineRule {
	priorities := map[string]uint32{}
	for priority, r := range compiler.UserRules(doc) {
		if first, seen := priorities[r.Name]; !seen || priority < first {
			priorities[r.Name] = priority
		}
	}
	list := make([]OutlineRule, 0, len(doc.Rules))
	for i := range doc.Rules {
		r := &doc.Rules[i]
		target := OutlineTarget{Kind: targetKinds[r.Target.Kind], Name: r.Target.Name, Strict: r.Action == policy.RuleLookupOnly}
		list = append(list, OutlineRule{r.Name, r.Pos.Line, ruleActions[r.Action], target, priorities[r.Name]})
	}
	return list
}
