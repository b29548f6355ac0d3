package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pbr/compiler/plan"
)

// roomLook is how often a watch whose policy waits for space for the journal checks for it.
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
	w.retryLater(nil, time.Now(), why)
	return want, outcome, nil
}
