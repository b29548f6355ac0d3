package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pbr/compiler/plan"
)

// roomLook is how often a watch that started without space for its journal checks for space.
const roomLook = time.Second

// applyHeld starts with the policy that the kernel holds, because the file's cannot be applied: so
// uplinks still fail over.
func (w *Watcher) applyHeld(ctx context.Context, why error) (*plan.Plan, Outcome, error) {
	held, err := w.Held()
	if err != nil {
		return nil, Outcome{}, fmt.Errorf("%w; nor can the policy in force be used: %w", why, err)
	}
	w.doc = held
	w.health = w.loadHealth()
	w.shared.loaded(held)
	w.shared.setDown(w.health.down)
	want, outcome, err := w.apply(ctx, held)
	if err != nil {
		return nil, Outcome{}, errors.Join(why, err)
	}
	w.Log.Error("the policy file is not in force: using the policy from before until the disk has space", "error", why)
	w.Reloaded(held)
	w.room = time.NewTimer(roomLook)
	return want, outcome, nil
}

// roomDue returns the channel of the next check for space; nil while no policy waits for it.
func (w *Watcher) roomDue() <-chan time.Time {
	if w.room == nil {
		return nil
	}
	return w.room.C
}

// lookForRoom reloads if there is space. If that fails, it is tried again later.
func (w *Watcher) lookForRoom() {
	if w.Kernel.Room() != nil {
		w.room.Reset(roomLook)
		return
	}
	w.room.Reset(audit)
	w.reload()
}
