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

	"pbr/compiler/plan"
	"pbr/kernel/route"
)

const pendingFile = "pending.json"

// lockPoll is how often LockWait tries again.
const lockPoll = 100 * time.Millisecond

// ReadMachine reads what a plan needs to know of this machine; it needs no privilege.
func ReadMachine() (plan.Machine, error) {
	conn, err := route.Open()
	if err != nil {
		return plan.Machine{}, err
	}
	defer conn.Close()
	return conn.Machine()
}

// LockWait is Lock, but waits for the other process to end.
func (k *Kernel) LockWait(ctx context.Context, doing string) (unlock func(), err error) {
	for {
		unlock, err = k.Lock(doing)
		var locked *LockedError
		if !errors.As(err, &locked) {
			return unlock, err
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// SetPending keeps the live state, to go back to at the deadline, before want is applied.
func (k *Kernel) SetPending(want *plan.Plan, deadline time.Time) (*Pending, error) {
	have, err := k.Live(want)
	if err != nil {
		return nil, err
	}
	if err := k.SavePrevious(have); err != nil {
		return nil, err
	}
	p := &Pending{Token: rand.Text(), Deadline: deadline}
	b, err := json.Marshal(p)
	if err == nil {
		err = writeFile(k.path(pendingFile), b)
	}
	if err != nil {
		return nil, fmt.Errorf("noting the apply that waits to be confirmed: %w", err)
	}
	return p, nil
}

// Pending returns the apply that waits to be confirmed; nil if none does.
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
		return nil, fmt.Errorf("reading which apply waits to be confirmed: %w", err)
	}
	return p, nil
}

// ClearPending keeps what was applied: nothing is undone any more. It is no error if nothing waits.
func (k *Kernel) ClearPending() error {
	if err := os.Remove(k.path(pendingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("confirming the apply: %w", err)
	}
	return k.DropPrevious()
}

// Revert goes back to the state before the apply that waits to be confirmed.
func (k *Kernel) Revert(ctx context.Context) (*Report, error) {
	report, err := k.Restore(ctx)
	if err != nil {
		return report, err
	}
	return report, k.ClearPending()
}
