package kernel

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
)

// step is one thing to do to the kernel, and how to undo it.
type step struct {
	what     string
	do, undo func() error
}

// steps puts changes into an order in which no packet is ever without its road: settings, routes, rules,
// then the ruleset that marks packets for them, and removal the other way round.
func (a *application) steps(have *live, c *plan.Changes, unset []plan.SysctlChange) []step {
	var steps, last []step
	for _, s := range c.Sysctls {
		steps = append(steps, a.setSysctl(s))
	}
	transaction := len(c.Counters)+len(c.Sets)+len(c.Chains)+len(c.Foreign) > 0
	var remarkBefore, remarkAfter []step
	if transaction && a.marks != nil && !a.marks.ran {
		remarkBefore, remarkAfter = a.marks.steps()
	}
	steps = append(steps, remarkBefore...)
	for _, r := range c.Routes {
		if r.Want != nil {
			steps = append(steps, a.setRoute(r))
		} else {
			last = append(last, a.delRoute(*r.Have))
		}
	}
	add, del := orderRules(c.Rules)
	for _, r := range add {
		steps = append(steps, a.addRule(r))
	}
	if transaction {
		steps = append(steps, a.setRuleset(have))
	}
	steps = append(steps, remarkAfter...)
	for _, r := range del {
		steps = append(steps, a.delRule(r))
	}
	steps = append(steps, last...)
	for _, s := range unset {
		steps = append(steps, a.restoreSysctl(s))
	}
	return steps
}

// orderRules returns the rules to add and then those to delete, in an order in which each packet is at any moment treated as before or
// as in the end. The new ones come from the lowest priority on: of those that are there yet the first that matches
// a packet is the one that will. The old ones go from the highest priority down: of those that are still there the first that
// matches is the one that did. Any other order lets a later rule act that an earlier one is to keep from it.
func orderRules(changes []plan.RuleChange) (add, del []plan.Rule) {
	for _, r := range changes {
		if r.Want != nil {
			add = append(add, *r.Want)
		} else {
			del = append(del, *r.Have)
		}
	}
	slices.SortStableFunc(add, plan.CompareRules)
	slices.SortStableFunc(del, plan.CompareRules)
	slices.Reverse(del)
	return add, del
}

// setRoute adds or replaces a route; a lenient apply leaves it out if that cannot be.
func (a *application) setRoute(c plan.RouteChange) step {
	s := step{
		what: fmt.Sprintf("set route %v", c.Want.Key()),
		do: func() error {
			err := a.route.SetRoute(*c.Want)
			if err == nil || !a.lenient {
				return err
			}
			a.want.Routes = slices.DeleteFunc(slices.Clone(a.want.Routes), c.Want.Equal)
			a.leaveOut(err)
			return nil
		},
		undo: func() error { return a.route.DelRoute(*c.Want) },
	}
	if c.Have != nil {
		s.undo = func() error { return a.route.SetRoute(*c.Have) }
	}
	return s
}

// leaveOut tells of what a lenient apply does without.
func (a *application) leaveOut(err error) {
	a.report.Warnings = append(a.report.Warnings, fmt.Sprintf("left out: %v", err))
}

func (a *application) delRoute(r plan.Route) step {
	return step{
		what: fmt.Sprintf("delete route %v", r.Key()),
		do:   func() error { return a.route.DelRoute(r) },
		undo: func() error { return a.route.SetRoute(r) },
	}
}

func (a *application) addRule(r plan.Rule) step {
	return step{
		what: fmt.Sprintf("add rule %d", r.Priority),
		do:   func() error { return a.rules.Add(r) },
		undo: func() error { return a.rules.Del(r) },
	}
}

func (a *application) delRule(r plan.Rule) step {
	return step{
		what: fmt.Sprintf("delete rule %d", r.Priority),
		do:   func() error { return a.rules.Del(r) },
		undo: func() error { return a.rules.Add(r) },
	}
}

// setRuleset is the one nftables transaction. Where no table was there is none after undoing it.
func (a *application) setRuleset(have *live) step {
	s := step{
		what: "nftables transaction",
		do:   func() error { return a.transact(&a.want.Ruleset) },
		undo: func() error { return a.transact(&have.plan.Ruleset) },
	}
	if r := &have.plan.Ruleset; len(r.Counters)+len(r.Sets)+len(r.Chains)+len(r.Foreign) == 0 {
		s.undo = a.nft.Delete
	}
	return s
}
