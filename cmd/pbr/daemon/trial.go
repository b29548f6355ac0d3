package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Trials stores what has to outlive the process of an apply that waits to be confirmed, and which
// policy is in force. Only the loop calls it.
type Trials interface {
	// Parse parses a policy that apply hands over.
	Parse(handed json.RawMessage) (*policy.Document, error)
	// Is reports whether a document is of that text and file.
	Is(doc *policy.Document, id PolicyID) bool
	// Begin records, before doc is applied, what to go back to after a time; want is its plan. It
	// returns the end of that time (Options.Uptime).
	Begin(doc *policy.Document, want *plan.Plan, in time.Duration) (end time.Duration, err error)
	// Renew has the time count from now, when doc is in force.
	Renew(in time.Duration) (end time.Duration, err error)
	// Drop undoes Begin for a policy that could not be applied.
	Drop(want *plan.Plan) error
	// Kept records that doc is in force for good.
	Kept(doc *policy.Document) error
	// Undone records that doc was undone, and that previous is in force again.
	Undone(doc, previous *policy.Document) error
	// Failed records why undoing failed.
	Failed(err error) error
}

// Trial is an apply that waits to be confirmed, as an earlier run of the watch began it.
type Trial struct {
	// Previous is the policy to go back to at End (Options.Uptime).
	Previous *policy.Document
	End      time.Duration
}

// trial is an apply that waits to be confirmed.
type trial struct {
	doc, previous *policy.Document
	end           time.Duration
	// retry is the wait after an undo that failed.
	retry time.Duration
	timer *time.Timer
}

const (
	// trialLook is how often the time is checked: no timer counts the time while the machine
	// sleeps.
	trialLook = time.Second
	// An undo that fails is tried again after firstUndoRetry, then after twice as long each time,
	// up to lastUndoRetry.
	firstUndoRetry = time.Second
	lastUndoRetry  = time.Minute
)

// Applied is the result of apply, confirm and revert.
type Applied struct {
	Changed []string `json:"changed,omitempty"`
	// Changes has the same for programs.
	Changes  []json.RawMessage `json:"changes,omitempty"`
	Warnings []string          `json:"warnings,omitempty"`
	Deferred []plan.Deferred   `json:"waiting,omitempty"`
	// Until is when it will be undone unless it is confirmed; nil if never.
	Until *time.Time `json:"until,omitempty"`
	// Lost is Outcome.Lost.
	Lost []string `json:"lost,omitempty"`
}

// ErrNothingWaits means that there is nothing to confirm or to undo.
var ErrNothingWaits = errors.New("nothing waits to be confirmed: there was no apply --confirm, or it was already undone")

// ErrNothingToRevert is that for pbr revert, whose user may want more than that undone.
var ErrNothingToRevert = fmt.Errorf("%w; to remove all of pbr: systemctl stop pbr; pbr flush", ErrNothingWaits)

// trialDue returns when to look at the trial; never without one.
func (w *Watcher) trialDue() <-chan time.Time {
	if w.trial == nil {
		return nil
	}
	return w.trial.timer.C
}

func (w *Watcher) startTrial(doc, previous *policy.Document, end time.Duration) {
	w.trial = &trial{doc: doc, previous: previous, end: end, retry: firstUndoRetry}
	w.trial.timer = time.NewTimer(max(0, min(end-w.Uptime(), trialLook)))
}

func (w *Watcher) endTrial() {
	w.trial.timer.Stop()
	w.trial = nil
}

// ApplyPolicy applies a policy for apply. With confirm it is undone after that time unless Confirm
// is called before.
func (w *Watcher) ApplyPolicy(ctx context.Context, handed json.RawMessage, confirm time.Duration) (*Applied, error) {
	doc, err := w.Trials.Parse(handed) // not in the loop: long lists take seconds
	if err != nil {
		return nil, err
	}
	prepared, err := w.prepare(ctx, doc)
	if err != nil {
		return nil, err
	}
	var applied *Applied
	callErr := w.call(ctx, func() {
		if err = w.refuseSecond(); err != nil {
			return
		}
		if confirm > 0 {
			applied, err = w.tryPolicy(ctx, doc, prepared, confirm)
		} else {
			applied, err = w.keepPolicy(ctx, doc, prepared)
		}
		w.shared.countReload(err == nil)
	})
	return applied, errors.Join(callErr, err)
}

// prepare compiles a policy concurrently with the loop, for the compiler's cache: the loop compiles
// with the host facts of then.
func (w *Watcher) prepare(ctx context.Context, doc *policy.Document) (*compiler.Compiler, error) {
	var host plan.HostFacts
	var down compiler.Health
	if err := w.order(ctx, func() { host, down = w.host, maps.Clone(w.health.down) }); err != nil {
		return nil, err
	}
	c := compiler.New(doc)
	c.Compile(host, down)
	return c, nil
}

// refuseSecond makes sure that a second change is not undone together with the one that waits.
func (w *Watcher) refuseSecond() error {
	if w.trial == nil {
		return nil
	}
	left := (w.trial.end - w.Uptime()).Round(time.Second)
	if left <= 0 {
		return Decline("the last apply was not confirmed in time and is being undone: try again afterwards")
	}
	return Decline("the last apply still waits to be confirmed until %s (%s left): run pbr confirm to keep it, "+
		"or pbr revert to undo it now",
		time.Now().Add(left).Format(time.TimeOnly), left)
}

// keepPolicy brings a policy into force for good.
func (w *Watcher) keepPolicy(ctx context.Context, doc *policy.Document, prepared *compiler.Compiler) (*Applied, error) {
	outcome, err := w.install(ctx, doc, prepared)
	if err != nil {
		return nil, err
	}
	kept := w.Trials.Kept(doc)
	w.noteTrial(recording, kept)
	w.logApplied("applied "+doc.File, outcome)
	done := w.applied(outcome)
	if kept != nil {
		done.Warnings = append(done.Warnings, recording+": "+kept.Error())
	}
	return done, nil
}

// recording is what fails where a policy cannot be kept for the next start.
const recording = "recording the policy in force"

// tryPolicy brings a policy into force until it is confirmed.
func (w *Watcher) tryPolicy(ctx context.Context, doc *policy.Document, prepared *compiler.Compiler,
	confirm time.Duration) (*Applied, error) {
	if !w.readHost() {
		return nil, errors.New("reading the host facts failed: see the log of pbr watch")
	}
	want, err := compiled(prepared.Compile(w.host, w.health.down))
	if err != nil {
		return nil, err
	}
	end, err := w.Trials.Begin(doc, want, confirm)
	if err != nil {
		return nil, err
	}
	previous := w.doc
	outcome, err := w.install(ctx, doc, prepared)
	if err != nil {
		return nil, errors.Join(err, w.Trials.Drop(want))
	}
	if renewed, err := w.Trials.Renew(confirm); err == nil { // what the apply took does not count
		end = renewed
	} else {
		w.noteTrial("the time to confirm counts from before the apply", err)
	}
	w.startTrial(doc, previous, end)
	until := time.Now().Add(end - w.Uptime())
	w.logApplied("applied "+doc.File+", to be undone at "+until.Format(time.TimeOnly)+" unless pbr confirm comes first", outcome)
	a := w.applied(outcome)
	a.Until = &until
	return a, nil
}

func (w *Watcher) applied(o Outcome) *Applied {
	return &Applied{Changed: o.Changed, Changes: o.Changes, Warnings: o.Warnings, Deferred: w.want.Deferred,
		Lost: o.Lost}
}

// Confirm keeps the policy that waits.
func (w *Watcher) Confirm(ctx context.Context) (*Applied, error) {
	var err error
	callErr := w.call(ctx, func() {
		if w.trial == nil {
			err = ErrNothingWaits
			return
		}
		if err = w.Trials.Kept(w.trial.doc); err != nil {
			return
		}
		w.endTrial()
		w.Log.Info("the applied policy was confirmed and stays", "policy", w.doc.File)
	})
	return &Applied{}, errors.Join(callErr, err)
}

// Revert undoes the policy that waits, now.
func (w *Watcher) Revert(ctx context.Context) (*Applied, error) {
	var applied *Applied
	var err error
	callErr := w.call(ctx, func() {
		if w.trial == nil {
			err = ErrNothingToRevert
			return
		}
		applied, err = w.undoTrial(ctx, "undone: the policy before the last apply is in force again")
	})
	return applied, errors.Join(callErr, err)
}

// lookAtTrial undoes the policy that waits if its time is over.
func (w *Watcher) lookAtTrial(ctx context.Context) {
	if left := w.trial.end - w.Uptime(); left > 0 {
		w.trial.timer.Reset(min(left, trialLook))
		return
	}
	if _, err := w.undoTrial(ctx, "the last apply was not confirmed in time: undone"); err != nil && ctx.Err() == nil {
		w.Log.Error("undoing the apply that was not confirmed", "error", err, "next_try", w.trial.retry)
		w.trial.timer.Reset(w.trial.retry)
		w.trial.retry = min(2*w.trial.retry, lastUndoRetry)
	}
}

// undoTrial goes back to the policy from before. If that fails, the trial still waits, with the
// reason.
func (w *Watcher) undoTrial(ctx context.Context, said string) (*Applied, error) {
	doc, previous := w.trial.doc, w.trial.previous
	outcome, err := w.install(ctx, previous, compiler.New(previous))
	if err != nil {
		w.noteTrial("recording that undoing failed", w.Trials.Failed(err))
		return nil, err
	}
	w.endTrial()
	w.noteTrial("recording the policy in force", w.Trials.Undone(doc, previous))
	w.Log.Warn(said, "rejected", doc.File, "in_force", previous.File)
	w.logOutcome("undone", outcome)
	for _, lost := range outcome.Lost {
		w.Log.Warn(lost)
	}
	return w.applied(outcome), nil
}

// noteTrial logs that a record could not be written. The kernel is correct anyway.
func (w *Watcher) noteTrial(what string, err error) {
	if err != nil {
		w.Log.Error(what, "error", err)
	}
}

// logApplied logs an apply, including one that had nothing to do.
func (w *Watcher) logApplied(what string, o Outcome) {
	if len(o.Changed) == 0 {
		w.Log.Info(what + ": the kernel already held it")
	}
	w.logOutcome(what, o)
}

// untried is the Trials of a Watcher that has none.
type untried struct{}

var errUntried = errors.New("this watch accepts no policy")

func (untried) Parse(json.RawMessage) (*policy.Document, error) { return nil, errUntried }
func (untried) Is(*policy.Document, PolicyID) bool              { return false }
func (untried) Begin(*policy.Document, *plan.Plan, time.Duration) (time.Duration, error) {
	return 0, errUntried
}
func (untried) Renew(time.Duration) (time.Duration, error)      { return 0, errUntried }
func (untried) Drop(*plan.Plan) error                           { return nil }
func (untried) Kept(*policy.Document) error                     { return nil }
func (untried) Undone(*policy.Document, *policy.Document) error { return nil }
func (untried) Failed(error) error                              { return nil }
