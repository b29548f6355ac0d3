package daemon

import (
	"context"
	"fmt"

	"pbr/compiler/policy"
)

// reload brings the policy file's present text into force, or keeps the old policy and says why. Uplinks that are as
// they were keep their state.
func (w *Watcher) reload(ctx context.Context) {
	w.Notify("RELOADING=1")
	defer w.ready()
	err := w.replacePolicy(ctx)
	w.shared.countReload(err == nil)
	if err != nil {
		w.Log.Error("reload failed, the old policy stays in force", "error", err)
	}
}

func (w *Watcher) replacePolicy(ctx context.Context) error {
	if err := w.refuseSecond(); err != nil {
		return err
	}
	doc, err := w.Reload()
	if err != nil {
		return err
	}
	outcome, err := w.install(ctx, doc)
	if err != nil {
		return err
	}
	w.noteTrial("noting the policy that is in force", w.Trials.Kept(doc))
	if len(outcome.Changed) == 0 {
		w.Log.Info("reloaded the policy; the kernel holds it already")
	}
	w.logOutcome("reloaded the policy", outcome)
	return nil
}

// install brings a policy into force in the place of the present one, or leaves everything as it was.
func (w *Watcher) install(ctx context.Context, doc *policy.Document) (Outcome, error) {
	if len(doc.Uplinks) == 0 && len(w.doc.Uplinks) > 0 {
		return Outcome{}, NoUplinks(doc)
	}
	want, outcome, err := w.apply(ctx, doc)
	if err != nil {
		w.due(spacing) // whatever was not undone is put right
		return Outcome{}, err
	}
	w.doc = doc
	w.take(want)
	w.shared.loaded(doc)
	w.Reloaded(doc)
	w.setConfigs(nil)
	w.tellLinks()
	// Uplinks that came, went or changed may stand otherwise now.
	w.react(ctx, w.waitingEvents())
	w.tellKept()
	return outcome, nil
}

// NoUplinks is the refusal of a policy without uplinks where another one is in force: whoever truncates a file does not mean
// to take everything away.
func NoUplinks(doc *policy.Document) error {
	return fmt.Errorf("%s has no uplink: with it everything that pbr routes would be taken away; mend the file, or if that is meant end pbr watch, should it run, and do pbr flush", doc.File)
}
