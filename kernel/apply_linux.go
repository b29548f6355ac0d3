package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
	"pbr/kernel/route"
)

// rounds is how often Apply compares the kernel with the plan again and repairs what differs.
const rounds = 4

// nftTries is how often the nftables transaction is computed again because someone else changed
// nftables meanwhile.
const nftTries = 5

// Apply makes the network namespace hold want, and sends only what differs. If any step fails,
// every change is rolled back and the error is an *ApplyError. The errors *LockedError,
// *ConflictError, missing privilege, and a plan that was compiled without host
// facts are reported before anything is changed.
func (k *Kernel) Apply(ctx context.Context, want *plan.Plan) (*Report, error) {
	r, err := k.apply(ctx, want, false)
	if err == nil {
		err = k.noteClock(want)
	}
	return r, err
}

// apply is Apply. With lenient set, routes and settings that the kernel refuses are skipped with a
// warning, and want's numbers count as ours: want was in force before.
func (k *Kernel) apply(ctx context.Context, want *plan.Plan, lenient bool) (*Report, error) {
	if err := applicable(want); err != nil {
		return nil, err
	}
	unlock, err := k.locked("apply")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if r := k.unchanged(want); r != nil {
		return r, nil
	}
	pruneStates(k.dir)
	r, err := k.compareAndSend(ctx, want, lenient)
	if err == nil {
		k.noteHeld(want, r.Held)
	}
	return r, err
}

// compareAndSend does the work of apply, under the lock.
func (k *Kernel) compareAndSend(ctx context.Context, want *plan.Plan, lenient bool) (*Report, error) {
	j, damaged, err := k.repairedJournal(want)
	if err != nil {
		return nil, err
	}
	before := k.forget()
	have, err := k.read(want, j, before.ruleset())
	if err != nil {
		return nil, err
	}
	want = k.freshCgroups(want)
	owned := claimsOf(want)
	bases, tables := j.bases(), j.tables()
	if lenient {
		bases, tables = append(bases, owned.BasePriority), append(tables, owned.Tables...)
	}
	if err := conflicts(want, have.plan, bases, tables); err != nil {
		return nil, err
	}
	d := differenceOf(have, want)
	a := newApplication(ctx, k, d)
	a.lenient, a.journal, a.start = lenient, j, have
	if damaged != "" {
		a.report.Warnings = append(a.report.Warnings, damaged)
	}
	next := j.with(a.owned, takeSettings(a.report.Changes.Sysctls))
	next.Unadopted = !want.Ruleset.Empty() &&
		(next.Unadopted || len(j.Owned) == 0 || tableMade(&have.plan.Ruleset, &want.Ruleset, have.last))
	a.unadopted = next.Unadopted
	a.live = have.nft
	a.marks = newMarkMigration(a)
	a.marks.Earlier = plansMarks(next.Owned)
	if a.report.Changes.Empty() && !next.has(a.owned.other) && len(a.unset(next, have)) == 0 {
		if !have.known || before != nil && !before.saved {
			k.saveSnapshot(have.nft)
		}
		k.remember(want, a.owned, have.nft, true)
		a.end = have
		return a.report, a.finish()
	}
	next.Changing = j.Changing || a.report.Changes.Ruleset()
	if err := a.writeJournal(next); err != nil && j.needs(next) {
		return nil, err
	}
	if err := a.applyStages(d); err != nil {
		return nil, a.giveUp(err, j)
	}
	if err := a.finish(); err != nil {
		return a.report, fmt.Errorf("the policy is in force, but could not be recorded: %w: run pbr apply again", err)
	}
	return a.report, nil
}

// applyStages converges to the plan, by intermediate plans if numbers change their meaning.
func (a *application) applyStages(d *difference) error {
	a.live = d.have.nft
	list, full := stages(a.journal.Owned, a.want)
	if full {
		dropped, err := a.dropInside(d.have.plan)
		if err != nil {
			return err
		}
		if dropped {
			list, full = stages(a.journal.Owned, a.want)
			d = nil
		}
	}
	if full {
		if err := a.park(list[0]); err != nil {
			return err
		}
	}
	if len(list) == 1 && d != nil {
		return a.converge(d)
	}
	want := a.owned
	moved, cleared := 0, 0
	for i, p := range list {
		err := a.stage(p, want.Tables, i < len(list)-1)
		moved, cleared = max(moved, a.report.Moved), max(cleared, a.report.Cleared)
		if err != nil {
			return err
		}
	}
	a.report.Moved, a.report.Cleared = moved, cleared
	return nil
}

// stage converges to one of several plans. tables are the last one's.
func (a *application) stage(p *plan.Plan, tables []uint32, intermediate bool) error {
	a.report.Moved, a.report.Cleared = 0, 0
	d, err := a.aim(p)
	if err != nil {
		return err
	}
	if !intermediate {
		return a.converge(d)
	}
	if err := conflicts(p, d.have.plan, append(a.journal.bases(), p.BasePriority), append(a.journal.tables(), tables...)); err != nil {
		return &ApplyError{Cause: err, Undo: a.rollBack()}
	}
	if err := a.converge(d); err != nil {
		return err
	}
	if err := a.finish(); err != nil {
		return &ApplyError{Cause: err, Undo: a.rollBack()}
	}
	a.parking = place{}
	return nil
}

// aim sets the plan to converge to, records it in the journal, and compares it with the present
// state.
func (a *application) aim(want *plan.Plan) (*difference, error) {
	a.want, a.owned = want, claimsOf(want)
	begun := *a.journal
	begun.Next, begun.Changing = nil, true // -- nothing was changed for that plan yet
	err := a.writeJournal(begun.with(a.owned, nil))
	var have *live
	if err == nil {
		a.marks = newMarkMigration(a)
		have, err = a.read(want, a.journal, a.live)
	}
	if err != nil {
		return nil, &ApplyError{Cause: err, Undo: a.rollBack()}
	}
	return differenceOf(have, want), nil
}

// giveUp restores the journal when every change is rolled back, so that nothing counts as ours that
// never was.
func (a *application) giveUp(err error, before *journal) error {
	var failed *ApplyError
	if errors.As(err, &failed) && failed.Undo == nil {
		failed.Undo = a.writeJournal(before)
	}
	return err
}

// finish does what remains to do once the plan is in force.
func (a *application) finish() error {
	if !a.marks.ran {
		_, after, last := a.marks.steps()
		for _, s := range slices.Concat(after, last) {
			a.step(s.what)
			if err := s.do(); err != nil {
				a.marks.failed = true
				a.report.Warnings = append(a.report.Warnings, fmt.Sprintf("connections keep the marks of the earlier policy: %v", err))
			}
		}
	}
	if a.unadopted {
		a.adopt()
	} else if err := a.sweepLate(); err != nil {
		a.report.Warnings = append(a.report.Warnings, fmt.Sprintf("connections started by late answers were not deleted: %v", err))
	}
	next := a.journal.final(a.owned, a.want.Sysctls)
	if a.marks.failed {
		next = a.journal.inForce(a.owned) // -- the journal keeps what remains to be changed
	}
	next.Unadopted, next.Changing = a.unadopted, false
	err := a.writeJournal(next)
	if err == nil && a.end != nil {
		a.report.Held = a.Kernel.held(a.want, a.end)
	}
	return err
}

func (a *application) journalInForce() error { return a.writeJournal(a.journal.inForce(a.owned)) }

func (a *application) writeJournal(next *journal) error {
	err := replaceJournal(a.path(journalFile), a.journal, next)
	if err == nil {
		a.journal = next
	}
	return err
}

// applicable rejects plans that lack the host's addresses and gateways.
func applicable(p *plan.Plan) error {
	unknown := len(p.Dynamic) > 0 || slices.ContainsFunc(p.Ruleset.Flowtables, func(f plan.Flowtable) bool { return f.Late })
	for _, r := range p.Routes {
		unknown = unknown || slices.ContainsFunc(r.Hops, func(h plan.Hop) bool { return h.Auto })
	}
	if unknown {
		return errors.New("the plan was compiled without host facts: its addresses and gateways are not known")
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
	// journal is the content of the journal file.
	journal *journal
	// marks is nil in an Update, which changes no mark's meaning.
	marks *markMigration
	// parking is what connections have as their mark while theirs is ambiguous, if that has to be.
	parking place
	lenient bool
	// unadopted means that the table has not seen the existing connections.
	unadopted bool
	// older are the connections before the table was made, as they were listed at olderAt.
	older   []conntrack.Flow
	olderAt time.Time
	// start is the state before the apply, for rollBack.
	start *live
	// end is the state in which nothing differed any more.
	end *live
	// lost describes changes to connections that cannot be rolled back.
	lost []error
	// live is the ruleset after the last transaction.
	live *nft.Live
	// rules and routes edit the ip rules, and delete routes, in one round.
	rules  *route.RuleEdit
	routes *route.RouteEdit
}

func newApplication(ctx context.Context, k *Kernel, d *difference) *application {
	return &application{Kernel: k, ctx: ctx, want: d.want, owned: claimsOf(d.want), report: &Report{Changes: d.changes}}
}

// converge makes the changes, and compares again until nothing differs.
func (a *application) converge(d *difference) error {
	for round := 0; ; round++ {
		have := d.have
		unset := a.unset(a.journal, have)
		a.unadopted = a.unadopted || tableMade(&have.plan.Ruleset, &a.want.Ruleset, have.last)
		if d.changes.Empty() && len(unset) == 0 {
			a.saveSnapshot(have.nft)
			a.remember(a.want, a.owned, have.nft, true)
			a.end = have
			return nil
		}
		if round == rounds {
			return &ApplyError{Cause: a.stillDiffers(), Undo: a.rollBack()}
		}
		if round == 0 {
			a.report.Restored = unset
		}
		err := a.do(d, unset)
		if err != nil {
			return &ApplyError{Cause: err, Undo: a.rollBack()}
		}
		if have, err = a.read(a.want, a.journal, a.live); err != nil {
			return &ApplyError{Cause: fmt.Errorf("reading the result: %w", err), Undo: a.rollBack()}
		}
		d = differenceOf(have, a.want)
	}
}

// do makes the changes, step by step, up to the first error.
func (a *application) do(d *difference, unset []plan.SysctlChange) error {
	a.live, a.rules, a.routes = d.have.nft, a.route.EditRules(), a.route.EditRoutes()
	for _, s := range a.steps(d, unset) {
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
	err := s.do()
	if err == nil || s.partial {
		a.done = append(a.done, s)
	}
	return err
}

// stillDiffers returns the error for a kernel that does not come to hold the plan.
func (a *application) stillDiffers() error {
	if left := a.live.Leftover; left != nil {
		return fmt.Errorf("the kernel still differs after %d rounds: %w", rounds, left)
	}
	return fmt.Errorf("the kernel still differs after %d rounds: someone else keeps changing it", rounds)
}

// undo rolls back the changes, last first, as far as possible.
func (a *application) undo() error {
	var errs []error
	for i := len(a.done) - 1; i >= 0; i-- {
		errs = append(errs, a.done[i].undo())
	}
	a.done = nil
	return errors.Join(errs...)
}

// transact makes the table hold want; known, which may be nil, is what was found out about the
// difference already. The transaction is computed again if someone changed nftables since it was
// read.
func (a *application) transact(want *plan.Ruleset, known *difference) error {
	for try := 1; ; try++ {
		next, err := a.nft.Apply(a.live, want, known.rulesetChanges(a.live, want))
		if err == nil {
			a.live = next
			return nil
		}
		// It is not known whether any of it was done, and the rollback has to know.
		live, readErr := a.nft.Read(&a.live.Ruleset)
		if readErr == nil {
			a.live = live
		}
		if !errors.Is(err, nft.ErrChanged) || try == nftTries {
			return fmt.Errorf("changing table inet %s: %w", plan.TableName, err)
		}
		if readErr != nil {
			return readErr
		}
	}
}

// unset lists the settings to restore, see unsetSysctls.
func (a *application) unset(j *journal, have *live) []plan.SysctlChange {
	return unsetSysctls(j.Sysctls, a.want.Sysctls, have.sysctls)
}
