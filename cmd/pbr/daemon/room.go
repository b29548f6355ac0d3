package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pbr/compiler/plan"
)

// roomLook is how often a watch that started without room for notes looks whether there is some.
const roomLook = time.Second

// applyHeld starts with the policy that the kernel holds, as the one of the file cannot be brought
// into force: uplinks fail over all the same.
func (w *Watcher) applyHeld(ctx context.Context, why error) (*plan.Plan, Outcome, error) {
	held, err := w.Held()
	if err != nil {
		return nil, Outcome{}, fmt.Errorf("%w; nor can the policy that is in force be gone on with: %w", why, err)
	}
	w.doc = held
	w.health = w.loadHealth()
	w.shared.loaded(held)
	w.shared.setDown(w.health.down)
	want, outcome, err := w.apply(ctx, held)
	if err != nil {
		return nil, Outcome{}, errors.Join(why, err)
	}
	w.Log.Error("the policy file is not in force, but the policy from before: taking the file when there is room", "error", why)
	w.Reloaded(held)
	w.room = time.NewTimer(roomLook)
	return want, outcome, nil
}

// roomDue tells when to look for room; never while no policy waits for it.
func (w *Watcher) roomDue() <-chan time.Time {
	if w.room == nil {
		return nil
	}
	return w.room.C
}

// lookForRoom reloads if there is room. Should the policy not come into force all the same, it is
// tried again later.
func (w *Watcher) lookForRoom() {
	if w.Kernel.Room() != nil {
		w.room.Reset(roomLook)
		return
	}
	w.room.Reset(audit)
	w.reload()
}
