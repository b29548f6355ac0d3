package kernel

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/state"
)

// pendingFile stores which apply has to be undone. guardFile is locked by the process that has to
// do it.
const (
	pendingFile = "pending.json"
	guardFile   = "pending.guard"
)

// Uptime returns the time since boot, suspended or not (CLOCK_BOOTTIME, clock_gettime(2)): nobody
// can set that clock.
func Uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0 // -- impossible: Linux has it since 2.6.39
	}
	return time.Duration(t.Nano())
}

// SetPending saves the live state before want is applied, to go back to it after wait. The file
// returned is the guard: while any process has it open, the apply counts as guarded. The process
// that waits needs it, see Pending and Revert.
func (k *Kernel) SetPending(want *plan.Plan, wait time.Duration) (*Pending, *os.File, error) {
	have, err := k.Live(want)
	if err != nil {
		return nil, nil, err
	}
	if err := k.SavePrevious(have); err != nil {
		return nil, nil, err
	}
	guard, err := k.takeGuard()
	if err != nil {
		return nil, nil, err
	}
	p := &Pending{Token: rand.Text(), End: Uptime() + wait}
	if err := k.writePending(p); err != nil {
		return nil, nil, errors.Join(err, guard.Close())
	}
	p.describe(true)
	return p, guard, nil
}

// Guard takes over the guard of a trial that another process began, if nobody guards it any more.
func (k *Kernel) Guard() (*os.File, error) { return k.takeGuard() }

// takeGuard locks the guard's file. The lock belongs to the open file (F_OFD_SETLK, fcntl(2)):
// children inherit it, and it ends when the last of them has closed the file.
func (k *Kernel) takeGuard() (*os.File, error) {
	f, err := os.OpenFile(k.path(guardFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the guard of the apply that waits to be confirmed: %w", err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return f, nil
}

// guarded reports whether a process waits to undo the pending apply.
func (k *Kernel) guarded() bool {
	f, err := os.OpenFile(k.path(guardFile), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK
}

func (k *Kernel) writePending(p *Pending) error {
	b, err := json.Marshal(p)
	if err == nil {
		err = state.Replace(k.path(pendingFile), b)
	}
	if err != nil {
		return fmt.Errorf("recording the apply that waits to be confirmed: %w", err)
	}
	return nil
}

// Pending returns the apply that waits to be confirmed; nil if there is none.
func (k *Kernel) Pending() (*Pending, error) {
	b, err := os.ReadFile(k.path(pendingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	p := &Pending{}
	if err == nil {
		err = json.Unmarshal(b, p)
	}
	if err != nil {
		return nil, fmt.Errorf("reading which apply waits to be confirmed: %s: %w: remove the file to keep what is applied, or run pbr flush",
			k.path(pendingFile), err)
	}
	p.describe(k.guarded())
	return p, nil
}

func (p *Pending) describe(guarded bool) {
	p.Left, p.Guarded = p.End-Uptime(), guarded
}

// ClearPending keeps what was applied: it will not be undone. It is no error if nothing waits.
func (k *Kernel) ClearPending() error {
	for _, name := range []string{pendingFile, guardFile} {
		if err := os.Remove(k.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("confirming the apply: %w", err)
		}
	}
	return k.DropPrevious()
}

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
	p, err := k.readPrevious()
	if err != nil {
		return false, err
	}
	j, err := readJournal(k.path(journalFile))
	if err != nil {
		return false, err
	}
	have, err := k.Live(want)
	if err != nil {
		return false, err
	}
	now := previousOf(have, j)
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

// NoteFailure records why undoing the pending apply failed, for the next command to report.
func (k *Kernel) NoteFailure(failure error) error {
	p, err := k.Pending()
	if err != nil || p == nil {
		return err
	}
	p.Failure = failure.Error()
	return k.writePending(p)
}
