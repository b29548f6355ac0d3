package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"pbr/compiler"
	"pbr/compiler/policy"
)

// readLimit is how long a reload waits for its files; a network file system may never answer.
const readLimit = 30 * time.Second

// reading is a reload's reading and compiling, concurrent with the loop: it may take long, or for
// ever.
type reading struct {
	done chan readPolicy
	// late fires when readLimit is over.
	late <-chan time.Time
	// instead is the policy that was in force when it began.
	instead *policy.Document
	// again means that another reload was requested meanwhile, abandoned that this one was given
	// up: when it ends after all, the files are read again.
	again, abandoned bool
}

// readPolicy is what a reading found.
type readPolicy struct {
	doc      *policy.Document
	compiler *compiler.Compiler
	err      error
}

// reload brings the policy file's present text into force, or keeps the old policy and reports why.
// Unchanged uplinks keep their state. One goroutine at a time reads the file, concurrently with the
// loop.
func (w *Watcher) reload() {
	w.Notify("RELOADING=1")
	if r := w.reading; r != nil {
		r.again = !r.abandoned
		if r.abandoned {
			w.reloadFailed(nil, time.Now(), errors.New("the files of an earlier reload are still being read"))
		}
		return
	}
	if err := w.refuseSecond(); err != nil {
		w.reloadFailed(nil, time.Now(), err)
		return
	}
	r := &reading{done: make(chan readPolicy, 1), late: time.After(readLimit), instead: w.doc}
	host, down := w.host, maps.Clone(w.health.down)
	go func() {
		var got readPolicy
		if got.doc, got.err = w.Reload(); got.err == nil {
			got.compiler = compiler.New(got.doc)
			got.compiler.Compile(host, down) // -- for its cache: the loop compiles with the host facts of then
		}
		r.done <- got
	}()
	w.reading = r
}

// read returns the channel of the reading's end; nil if there is none.
func (w *Watcher) read() <-chan readPolicy {
	if w.reading == nil {
		return nil
	}
	return w.reading.done
}

// readLate returns the channel for a reading that takes too long.
func (w *Watcher) readLate() <-chan time.Time {
	if w.reading == nil || w.reading.abandoned {
		return nil
	}
	return w.reading.late
}

// abandon gives up a reading, which may continue.
func (w *Watcher) abandon() {
	w.reading.abandoned = true
	w.reloadFailed(nil, time.Now(), fmt.Errorf("reading the policy and its lists takes more than %s", readLimit))
}

// reloadRead brings what was read into force.
func (w *Watcher) reloadRead(ctx context.Context, got readPolicy) {
	r := w.reading
	w.reading = nil
	if r.abandoned {
		w.reload()
		return
	}
	began := time.Now()
	if err := w.replacePolicy(ctx, r.instead, got); err != nil {
		w.reloadFailed(got.doc, began, err)
	} else {
		w.shared.countReload(true)
		w.ready()
	}
	if r.again {
		w.reload()
	}
}

// reloadFailed reports a reload that began at that time and failed, and has it tried again if its
// reason may pass. doc is nil if it was not read to its end.
func (w *Watcher) reloadFailed(doc *policy.Document, began time.Time, err error) {
	w.shared.countReload(false)
	w.Log.Error("reload failed: the old policy stays in force", "error", err, "next_try", w.retryLater(doc, began, err))
	w.ready()
}

func (w *Watcher) replacePolicy(ctx context.Context, instead *policy.Document, got readPolicy) error {
	if got.err != nil {
		return unfit(got.err)
	}
	if err := w.refuseSecond(); err != nil {
		return err
	}
	if w.doc != instead {
		return errors.New("another policy came into force while the file was read")
	}
	outcome, err := w.install(ctx, got.doc, got.compiler)
	if err != nil {
		return err
	}
	w.noteTrial("recording the policy in force", w.Trials.Kept(got.doc))
	if len(outcome.Changed) == 0 {
		w.Log.Info("reloaded the policy: the kernel already holds it")
	}
	w.logOutcome("reloaded the policy", outcome)
	return nil
}

// install replaces the policy in force, or leaves everything as it was. prepared is its compiler.
func (w *Watcher) install(ctx context.Context, doc *policy.Document, prepared *compiler.Compiler) (Outcome, error) {
	if len(doc.Uplinks) == 0 && len(w.doc.Uplinks) > 0 {
		return Outcome{}, NoUplinks(doc)
	}
	w.stage(ctx, prepared)
	want, outcome, err := w.apply(ctx, doc)
	w.unstage()
	if err != nil {
		w.due(spacing) // -- the pass repairs what was not rolled back
		return Outcome{}, err
	}
	w.doc = doc
	w.endRetry()
	w.take(want)
	w.shared.loaded(doc)
	w.Reloaded(doc)
	w.setConfigs(nil)
	w.sendLinks()
	// Uplinks that were added, removed or changed may have another state now.
	w.react(ctx, w.pendingEvents(ctx, nil))
	w.logKept()
	return outcome, nil
}

// NoUplinks returns the error for a policy without uplinks while another one is in force: an empty
// file is most likely a mistake.
func NoUplinks(doc *policy.Document) error {
	return Decline("%s has no uplink: applying it would remove everything that pbr routes: fix the file. "+
		"To remove everything: stop pbr watch, then run pbr flush", doc.File)
}
