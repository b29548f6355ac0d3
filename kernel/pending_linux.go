package kernel

import (
	"context"
	"errors"
	"os"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/confirm"
)

// What a trial of an apply reads and changes in the kernel; package confirm tells the whole story.

// Uptime is confirm's.
func Uptime() time.Duration { return confirm.Uptime() }

func (k *Kernel) trial() confirm.Store { return confirm.In(k.dir) }

// SetPending keeps the live state, to go back to after wait, before want is applied. The file
// returned is the guard: as long as any process has it open, that apply counts as looked after. It
// is for the process that waits, see Pending and Revert.
func (k *Kernel) SetPending(want *plan.Plan, wait time.Duration) (*Pending, *os.File, error) {
	have, err := k.Live(want)
	if err != nil {
		return nil, nil, err
	}
	before, err := k.previousOf(have)
	if err != nil {
		return nil, nil, err
	}
	if err := makeStateDir(k.dir); err != nil {
		return nil, nil, err
	}
	return k.trial().Begin(before, wait)
}

// Guard is the guard of a trial that another process began, when nobody else guards it any more.
func (k *Kernel) Guard() (*os.File, error) { return k.trial().Guard() }

// Pending returns the apply that waits to be confirmed; nil if none does.
func (k *Kernel) Pending() (*Pending, error) { return k.trial().Pending() }

// RenewPending has the pending apply undone after wait from now.
func (k *Kernel) RenewPending(wait time.Duration) (*Pending, error) { return k.trial().Renew(wait) }

// ClearPending keeps what was applied: nothing is undone any more. It is not an error if nothing
// waits.
func (k *Kernel) ClearPending() error { return k.trial().Clear() }

// NoteFailure records why undoing the pending apply failed, for the next command to report.
func (k *Kernel) NoteFailure(failure error) error { return k.trial().NoteFailure(failure) }

// DropPending is ClearPending for an apply that failed. It keeps the pending undo unless the kernel
// is as it was before: otherwise only that undo may repair it.
func (k *Kernel) DropPending(want *plan.Plan) (dropped bool, err error) {
	changed, err := k.changedSincePrevious(want)
	if err != nil || changed {
		return false, err
	}
	return true, k.ClearPending()
}

// changedSincePrevious reports whether the live state differs from the one to go back to.
func (k *Kernel) changedSincePrevious(want *plan.Plan) (bool, error) {
	p, err := k.trial().Previous()
	if err != nil {
		return false, err
	}
	have, err := k.Live(want)
	if err != nil {
		return false, err
	}
	now, err := k.previousOf(have)
	if err != nil {
		return false, err
	}
	if p.Nothing || now.Nothing {
		return p.Nothing != now.Nothing, nil
	}
	return !plan.Diff(now.Plan, p.Plan).Empty(), nil
}

// Revert goes back to the state before the apply that waits to be confirmed. If that fails, the
// apply stays pending, with the reason.
func (k *Kernel) Revert(ctx context.Context) (*Report, error) {
	report, err := k.Restore(ctx)
	if err == nil {
		return report, k.ClearPending()
	}
	return report, errors.Join(err, k.NoteFailure(err))
}
