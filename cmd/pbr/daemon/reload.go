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

// reading is a reload's reading and compiling, beside the loop: it may take long, or for ever.
type reading struct {
	done chan readPolicy
	// late tells that readLimit is over.
	late <-chan time.Time
	// instead is the policy that was in force when it began.
	instead *policy.Document
	// again means that another reload was asked for meanwhile, abandoned that nobody waits for this
	// one any more.
	again, abandoned bool
}

// readPolicy is what a reading found.
type readPolicy struct {
	doc      *policy.Document
	compiler *compiler.Compiler
	err      error
}

// reload brings the policy file's present text into force, or keeps the old policy and says why.
// Uplinks that are as they were keep their state. The file is read beside the loop, by one reader
// at a time.
func (w *Watcher) reload() {
	w.Notify("RELOADING=1")
	if r := w.reading; r != nil {
		r.again = !r.abandoned
		if r.abandoned {
			w.endReload(errors.New("the files of an earlier reload are still being read"))
		}
		return
	}
	if err := w.refuseSecond(); err != nil {
		w.endReload(err)
		return
	}
	r := &reading{done: make(chan readPolicy, 1), late: time.After(readLimit), instead: w.doc}
	host, down := w.host, maps.Clone(w.health.down)
	go func() {
		var got readPolicy
		if got.doc, got.err = w.Reload(); got.err == nil {
			got.compiler = compiler.New(got.doc)
			got.compiler.Compile(host, down) // for what it remembers: the loop compiles for the machine as it is then
		}
		r.done <- got
	}()
	w.reading = r
}

// read tells of the reading's end; nil when there is none.
func (w *Watcher) read() <-chan readPolicy {
	if w.reading == nil {
		return nil
	}
	return w.reading.done
}

// readLate tells that the reading takes too long.
func (w *Watcher) readLate() <-chan time.Time {
	if w.reading == nil || w.reading.abandoned {
		return nil
	}
	return w.reading.late
}

// abandon gives up a reading, which may go on.
func (w *Watcher) abandon() {
	w.reading.abandoned = true
	w.endReload(fmt.Errorf("reading the policy and its lists takes more than %s", readLimit))
}

// reloadRead brings what was read into force.
func (w *Watcher) reloadRead(ctx context.Context, got readPolicy) {
	r := w.reading
	w.reading = nil
	if r.abandoned {
		return
	}
	w.endReload(w.replacePolicy(ctx, r.instead, got))
	if r.again {
		w.reload()
	}
}

func (w *Watcher) endReload(err error) {
	defer w.ready()
	w.shared.countReload(err == nil)
	if err != nil {
		w.Log.Error("reload failed, the old policy stays in force", "error", err)
	}
}

func (w *Watcher) replacePolicy(ctx context.Context, instead *policy.Document, got readPolicy) error {
	if got.err != nil {
		return got.err
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
	w.noteTrial("noting the policy that is in force", w.Trials.Kept(got.doc))
	if len(outcome.Changed) == 0 {
		w.Log.Info("reloaded the policy; the kernel holds it already")
	}
	w.logOutcome("reloaded the policy", outcome)
	return nil
}

// install brings a policy into force in the place of the present one, or leaves everything as it
// was. prepared is its compiler.
func (w *Watcher) install(ctx context.Context, doc *policy.Document, prepared *compiler.Compiler) (Outcome, error) {
	if len(doc.Uplinks) == 0 && len(w.doc.Uplinks) > 0 {
		return Outcome{}, NoUplinks(doc)
	}
	w.stage(ctx, prepared)
	want, outcome, err := w.apply(ctx, doc)
	w.unstage()
	if err != nil {
		w.due(spacing) // whatever was not undone is put right
		return Outcome{}, err
	}
	w.doc, w.room = doc, nil
	w.take(want)
	w.shared.loaded(doc)
	w.Reloaded(doc)
	w.setConfigs(nil)
	w.sendLinks()
	// Uplinks that came, went or changed may stand otherwise now.
	w.react(ctx, w.pendingEvents(ctx, nil))
	w.logKept()
	return outcome, nil
}

// NoUplinks is the refusal of a policy without uplinks where another one is in force: whoever
// truncates a file does not mean to take everything away.
func NoUplinks(doc *policy.Document) error {
	return fmt.Errorf("%s has no uplink: applying it would remove everything that pbr routes: fix the file. To remove everything: stop pbr watch, then run pbr flush", doc.File)
}
