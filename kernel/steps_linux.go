package kernel

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
	"pbr/kernel/route"
)

// step is one change to the kernel, and how to undo it.
type step struct {
	what     string
	do, undo func() error
	// A partial step may have changed something when it fails, and is then undone, too.
	partial bool
}

// steps orders changes so that every marked packet always has its rule and route: settings, routes,
// rules, then the ruleset that marks packets for them, and removal in reverse. The kernel checks
// source addresses until the ruleset does.
func (a *application) steps(d *difference, unset []plan.SysctlChange) []step {
	have, c := d.have, d.changes
	settings := a.settings(c.Sysctls, unset)
	steps := append(settings.first, a.keepPrimary(have)...)
	var last []step
	transaction := c.Ruleset()
	var migrateBefore, migrateAfter, migrateLast []step
	if transaction && a.marks != nil && !a.marks.ran {
		migrateBefore, migrateAfter, migrateLast = a.marks.steps()
	}
	parks := len(migrateBefore) > 0 && a.parking.mark != 0
	if parks {
		steps = append(steps, a.refuseNew(have))
	}
	steps = append(steps, migrateBefore...)
	set, del := splitRoutes(c.Routes)
	for burst := range slices.Chunk(set, route.BurstSize) {
		steps = append(steps, a.setRoutes(burst))
	}
	for burst := range slices.Chunk(del, route.BurstSize) {
		last = append(last, a.delRoutes(burst))
	}
	rules := orderRules(c.Rules)
	a.shieldMarks(&rules, have)
	var held []plan.Rule
	if transaction && a.first(have) {
		held = a.holdUnmarked(&rules)
	}
	for _, r := range rules.unskip {
		steps = append(steps, a.delRule(r))
	}
	for _, r := range rules.add {
		steps = append(steps, a.addRule(r))
	}
	if transaction {
		steps = append(steps, a.setRuleset(d, len(migrateAfter) > 0))
	}
	if len(held) > 0 {
		steps = append(steps, a.pinOlder())
	}
	for _, r := range held {
		steps = append(steps, a.addRule(r))
	}
	steps = append(steps, settings.loosened...)
	if !parks {
		steps = append(steps, migrateAfter...)
	}
	for _, r := range rules.del {
		steps = append(steps, a.delRule(r))
	}
	if parks {
		steps = append(steps, migrateAfter...) // -- both plans' rules may match the same packets
	}
	for _, r := range rules.skip {
		steps = append(steps, a.addRule(r))
	}
	return slices.Concat(steps, last, settings.restored, migrateLast)
}

// settingSteps are changes of settings: those that come first, those that leave the check of source
// addresses to the ruleset, and those that follow what was deleted.
type settingSteps struct{ first, loosened, restored []step }

// settings puts changes of settings, and settings that pbr no longer needs, into their places.
func (a *application) settings(changes, unset []plan.SysctlChange) (s settingSteps) {
	for _, c := range changes {
		if loosensSource(c) {
			s.loosened = append(s.loosened, a.setSysctl(c))
		} else {
			s.first = append(s.first, a.setSysctl(c))
		}
	}
	for _, c := range unset {
		if sourceCheck(c) && !loosensSource(c) {
			s.first = append(s.first, a.restoreSysctl(c))
		} else {
			s.restored = append(s.restored, a.restoreSysctl(c))
		}
	}
	return s
}

// sourceCheck reports whether a setting makes the kernel check source addresses (ip-sysctl.rst).
func sourceCheck(c plan.SysctlChange) bool {
	name := plan.SettingOf(c.Path).Name
	return name == "accept_local" || name == "rp_filter"
}

// loosensSource reports whether a change leaves that check to the ruleset, which has to be in force
// then, and still be in force when the change is undone.
func loosensSource(c plan.SysctlChange) bool {
	name := plan.SettingOf(c.Path).Name
	return name == "accept_local" && c.Want == "1" || name == "rp_filter" && c.Want == "0"
}

// ruleOrder has changes of rules in the order in which they are made.
type ruleOrder struct {
	// unskip and skip are the gotos to delete and to add.
	unskip, add, del, skip []plan.Rule
}

// orderRules returns an order in which each packet is always treated either as before or as in the
// end. New rules are added from the lowest priority on: of the new rules present, the first that
// matches a packet is the one that will match it in the end. Old rules are deleted from the highest
// priority down: of the old rules left, the first that matches is the one that matched before. In
// any other order a later rule could act on a packet that an earlier rule is meant to take.
//
// Gotos only skip rules that do not match in their own plan. So they are omitted while rules of two
// plans are present: the old ones are deleted first, the new ones are added when no old rule is
// left. Gotos of both plans skip rules that match in neither.
func orderRules(changes []plan.RuleChange) ruleOrder {
	var o ruleOrder
	for _, r := range changes {
		switch {
		case r.Want != nil && r.Want.Action == plan.ActGoto:
			o.skip = append(o.skip, *r.Want)
		case r.Want != nil:
			o.add = append(o.add, *r.Want)
		case r.Have.Action == plan.ActGoto:
			o.unskip = append(o.unskip, *r.Have)
		default:
			o.del = append(o.del, *r.Have)
		}
	}
	o.sort()
	return o
}

func (o *ruleOrder) sort() {
	sorting.Func(o.add, plan.CompareRules)
	sorting.Func(o.del, plan.CompareRules)
	slices.Reverse(o.del)
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

// setRuleset is the nftables transaction, with its preparation. If there was no table, undoing it
// removes the table. While connections carry marks of earlier plans, the ruleset knows these, too;
// the next round removes that again.
func (a *application) setRuleset(d *difference, moving bool) step {
	have := d.have
	next, before := &a.want.Ruleset, &have.plan.Ruleset
	switch {
	case moving && a.parking.mark != 0:
		r, b := refusing(next, a.marks.Migration, a.parking), refusing(before, a.marks.Migration, a.parking)
		next, before = &r, &b
	case moving:
		r := transitional(a.want, a.marks.Migration)
		next = &r
	}
	undo := func() error { return a.transact(before, nil) }
	if have.plan.Ruleset.Empty() {
		undo = a.nft.Delete
	}
	return step{
		what: "nftables transaction", partial: true,
		do:   func() error { return a.makeTable(next, d) },
		undo: a.returningMarks(before, undo),
	}
}
