package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
	"pbr/kernel/route"
)

// rounds is how often Apply looks again whether the namespace holds the plan, and mends what does not.
const rounds = 3

// nftTries is how often the nftables transaction is computed anew because someone else changed nftables meanwhile.
const nftTries = 5

// Apply makes the namespace hold want, and sends only what differs. When any of it fails everything
// that was done is undone and the error is an *ApplyError; the errors *LockedError and *ConflictError, and one for missing
// privilege, come before anything is touched. So does the refusal of a plan that was compiled for no machine.
func (k *Kernel) Apply(ctx context.Context, want *plan.Plan) (*Report, error) {
	if err := applicable(want); err != nil {
		return nil, err
	}
	unlock, err := k.locked("apply")
	if err != nil {
		return nil, err
	}
	defer unlock()
	file := k.path("journal.json")
	j, err := readJournal(file)
	if err != nil {
		return nil, err
	}
	before := k.forget()
	have, err := k.read(want, j, before.ruleset())
	if err != nil {
		return nil, err
	}
	if err := conflicts(want, have.plan, j); err != nil {
		return nil, err
	}
	a := newApplication(ctx, k, want, plan.Diff(have.plan, want))
	next := j.with(a.owned, a.report.Changes.Sysctls)
	if a.report.Changes.Empty() && len(next.Owned) == 1 && len(a.unset(next, have)) == 0 {
		if !have.known || before != nil && !before.saved {
			k.saveSnapshot(have.nft)
		}
		k.remember(want, a.owned, have.nft, true)
		return a.report, replaceJournal(file, j, next.settled(a.owned, want.Sysctls))
	}
	if err := replaceJournal(file, j, next); err != nil {
		return nil, err
	}
	if err := a.converge(have, next); err != nil {
		return nil, err
	}
	a.clearMarks(next)
	if len(a.report.Warnings) > 0 {
		return a.report, nil // the journal keeps what is still to be cleared
	}
	return a.report, replaceJournal(file, next, next.settled(a.owned, want.Sysctls))
}

// applicable refuses what only a live machine's addresses and gateways make complete.
func applicable(p *plan.Plan) error {
	unknown := len(p.Dynamic) > 0
	for _, r := range p.Routes {
		unknown = unknown || slices.ContainsFunc(r.Hops, func(h plan.Hop) bool { return h.Auto })
	}
	if unknown {
		return errors.New("the plan was compiled for no machine: its addresses and gateways are not known")
	}
	return nil
}

// application is one Apply, or Update.
type application struct {
	*Kernel
	ctx    context.Context
	want   *plan.Plan
	owned  owned
	report *Report
	done   []step
	// live is the ruleset that the last transaction left.
	live *nft.Live
	// rules is for the ip rules of one round.
	rules *route.RuleEdit
}

func newApplication(ctx context.Context, k *Kernel, want *plan.Plan, changes *plan.Changes) *application {
	return &application{Kernel: k, ctx: ctx, want: want, owned: possession(want), report: &Report{Changes: changes}}
}

// step is one thing to do to the kernel, and how to undo it.
type step struct {
	what     string
	do, undo func() error
}

// converge does the changes, and looks again until there are none.
func (a *application) converge(have *live, j *journal) error {
	for round := 0; ; round++ {
		changes := plan.Diff(have.plan, a.want)
		unset := a.unset(j, have)
		if changes.Empty() && len(unset) == 0 {
			a.saveSnapshot(have.nft)
			a.remember(a.want, a.owned, have.nft, true)
			return nil
		}
		if round == rounds {
			return &ApplyError{Cause: fmt.Errorf("the kernel still differs after %d rounds; someone else keeps changing it", rounds), Undo: a.undo()}
		}
		if round == 0 {
			a.report.Restored = unset
		}
		err := a.do(have, changes, unset)
		if err != nil {
			return &ApplyError{Cause: err, Undo: a.undo()}
		}
		if have, err = a.read(a.want, j, a.live); err != nil {
			return &ApplyError{Cause: fmt.Errorf("looking at the result: %w", err), Undo: a.undo()}
		}
	}
}

// do does the changes of have, step by step, up to the first error.
func (a *application) do(have *live, changes *plan.Changes, unset []plan.SysctlChange) error {
	a.live, a.rules = have.nft, a.route.EditRules()
	for _, s := range a.steps(have, changes, unset) {
		if err := a.run(s); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) run(s step) error {
	if err := a.ctx.Err(); err != nil {
		return fmt.Errorf("stopped before %s: %w", s.what, err)
	}
	a.step(s.what)
	if err := s.do(); err != nil {
		return err
	}
	a.done = append(a.done, s)
	return nil
}

// undo takes back what was done, last first, as far as it goes.
func (a *application) undo() error {
	var errs []error
	for i := len(a.done) - 1; i >= 0; i-- {
		errs = append(errs, a.done[i].undo())
	}
	a.done = nil
	return errors.Join(errs...)
}

// steps puts changes into an order in which no packet is ever without its road: settings, routes, rules,
// then the ruleset that marks packets for them, and removal the other way round.
func (a *application) steps(have *live, c *plan.Changes, unset []plan.SysctlChange) []step {
	var steps, last []step
	for _, s := range c.Sysctls {
		steps = append(steps, sysctlStep(s))
	}
	for _, r := range c.Routes {
		if r.Want != nil {
			steps = append(steps, a.setRoute(r))
		} else {
			last = append(last, a.delRoute(*r.Have))
		}
	}
	var gone []plan.Rule
	for _, r := range c.Rules {
		if r.Want != nil {
			steps = append(steps, a.addRule(*r.Want))
		} else {
			gone = append(gone, *r.Have)
		}
	}
	if len(c.Counters)+len(c.Sets)+len(c.Chains)+len(c.Foreign) > 0 {
		steps = append(steps, a.setRuleset(have))
	}
	for _, r := range gone {
		steps = append(steps, a.delRule(r))
	}
	steps = append(steps, last...)
	for _, s := range unset {
		steps = append(steps, sysctlStep(s))
	}
	return steps
}

func sysctlStep(c plan.SysctlChange) step {
	return step{
		what: "sysctl " + c.Path,
		do:   func() error { return route.WriteSysctl(c.Path, c.Want) },
		undo: func() error { return route.WriteSysctl(c.Path, c.Have) },
	}
}

func (a *application) setRoute(c plan.RouteChange) step {
	s := step{
		what: fmt.Sprintf("set route %v", c.Want.Key()),
		do:   func() error { return a.route.SetRoute(*c.Want) },
		undo: func() error { return a.route.DelRoute(*c.Want) },
	}
	if c.Have != nil {
		s.undo = func() error { return a.route.SetRoute(*c.Have) }
	}
	return s
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

// transact makes the table hold want, computed anew when someone changed nftables since it was read.
func (a *application) transact(want *plan.Ruleset) error {
	for try := 1; ; try++ {
		changes := plan.Diff(&plan.Plan{Ruleset: a.live.Ruleset}, &plan.Plan{Ruleset: *want})
		next, err := a.nft.Apply(a.live, want, changes)
		if err == nil {
			a.live = next
			return nil
		}
		if !errors.Is(err, nft.ErrChanged) || try == nftTries {
			return fmt.Errorf("changing table inet %s: %w", plan.TableName, err)
		}
		if a.live, err = a.nft.Read(); err != nil {
			return err
		}
	}
}

// unset lists the settings to give back, see unsetSysctls.
func (a *application) unset(j *journal, have *live) []plan.SysctlChange {
	return unsetSysctls(j.Sysctls, a.want.Sysctls, have.sysctls)
}

// clearMarks takes marks that steer nothing any more off the connections that carry them.
func (a *application) clearMarks(j *journal) {
	byMask := map[uint32][]uint32{}
	for _, g := range j.goneMarks() {
		byMask[g.mask] = append(byMask[g.mask], g.mark)
	}
	for mask, marks := range byMask {
		a.step(fmt.Sprintf("clear ct marks under 0x%x", mask))
		n, err := clearMarks(mask, marks)
		a.report.Cleared += n
		if err != nil {
			a.report.Warnings = append(a.report.Warnings, err.Error())
		}
	}
}
