package daemon

import (
	"cmp"
	"context"
	"time"
)

// reloadFirst is how long a reload has to come before what others applied counts as a change that
// has to be repaired.
const reloadFirst = time.Second

// Relock has the watch go on after the lock was removed that keeps others from changing what it
// keeps. lock takes it again; it reports whether others may have been at work meanwhile: then the
// policy file in force counts, as after a reload, because they may have applied it.
func (w *Watcher) Relock(ctx context.Context, lock func() (others bool, err error)) error {
	var err error
	callErr := w.call(ctx, func() {
		var others bool
		if others, err = lock(); err != nil {
			return
		}
		w.save()
		w.Kernel.CompareAll()
		w.dirty.due = false
		switch {
		case others:
			w.due(reloadFirst)
			w.reload()
			return
		case w.trial == nil:
			w.noteTrial("recording the policy in force", w.Trials.Kept(w.doc))
		}
		w.due(0)
	})
	return cmp.Or(err, callErr)
}
