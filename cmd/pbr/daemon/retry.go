package daemon

import (
	"errors"
	"reflect"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// A reload that fails for a reason that may pass is tried again: nobody may be there to ask for it.
// What comes from the policy itself is final.

// Retry is a policy file that is not in force yet, as the report has it.
type Retry struct {
	// Error is why the last try failed.
	Error string `json:"error"`
	// At is when the next one is; nil if it comes as soon as what it waits for is there.
	At *time.Time `json:"next_try,omitempty"`
	// WaitsFor is "space" for the journal, or "files" that are still being read; otherwise empty.
	WaitsFor string `json:"waits_for,omitempty"`
}

const (
	waitsForSpace = "space"
	waitsForFiles = "files"
)

// When says when the next try is.
func (r *Retry) When(now time.Time) string {
	switch r.WaitsFor {
	case waitsForSpace:
		return "as soon as there is space"
	case waitsForFiles:
		return "when its files can be read"
	}
	return "in " + max(r.At.Sub(now), 0).Round(time.Second).String()
}

// noRetry is what the log says of a reload that is not tried again.
const noRetry = "none: reload again once that is settled"

// retry is a reload that waits to be tried again.
type retry struct {
	timer *time.Timer
	// failed is how often it failed, ended is when it did last.
	failed int
	ended  time.Time
	// pause is the least time to the next try.
	pause time.Duration
	// room means that it waits for space for the journal.
	room bool
	// needs and host are the host facts that it failed with; host is not Known if they say nothing.
	needs plan.Needs
	host  plan.HostFacts
}

// final reports whether an error of a reload stays until the policy is edited, or somebody decides.
func final(err error) bool {
	var declined *Declined
	return errors.As(err, &declined) || errors.Is(err, ErrUnfit)
}

// unfit marks what is wrong with a policy.
func unfit(err error) error { return unfitError{err} }

type unfitError struct{ error }

func (e unfitError) Unwrap() []error { return []error{ErrUnfit, e.error} }

// retryLater arranges for another try of a reload that failed, and says when it comes; it began at
// that time. doc is nil if it was not read to its end.
func (w *Watcher) retryLater(doc *policy.Document, began time.Time, err error) (when string) {
	if final(err) {
		w.endRetry()
		return noRetry
	}
	r := &retry{ended: time.Now(), pause: max(firstWait, time.Since(began)), room: errors.Is(err, ErrNoRoom)}
	if w.retry != nil {
		r.failed = w.retry.failed
	}
	if doc != nil {
		r.needs, r.host = compiler.Needs(doc), w.host
	}
	wait := max(r.pause, min(firstWait<<min(r.failed, 10), maxWait))
	r.failed++
	if r.room {
		wait = roomLook
	}
	r.timer = time.NewTimer(wait)
	w.retry = r
	return w.reportRetry(err, wait)
}

// reportRetry has the report name what waits, and returns when it is tried again.
func (w *Watcher) reportRetry(err error, wait time.Duration) (when string) {
	shown := &Retry{Error: err.Error()}
	switch {
	case w.reading != nil:
		shown.WaitsFor = waitsForFiles
	case w.retry.room:
		shown.WaitsFor = waitsForSpace
	default:
		at := time.Now().Add(wait)
		shown.At = &at
		when = wait.Round(time.Millisecond).String()
	}
	w.shared.update(func(r *Report) { r.Retry = shown })
	if when == "" {
		when = shown.When(time.Now())
	}
	return when
}

// endRetry forgets a reload that waits.
func (w *Watcher) endRetry() {
	w.retry = nil
	w.shared.update(func(r *Report) { r.Retry = nil })
}

// retryDue returns the channel for the next try; nil while nothing waits for one.
func (w *Watcher) retryDue() <-chan time.Time {
	if w.retry == nil || w.reading != nil {
		return nil
	}
	return w.retry.timer.C
}

// tryAgain reloads, unless there is still no space for the journal.
func (w *Watcher) tryAgain() {
	if w.retry.room && w.Kernel.Room() != nil {
		w.retry.timer.Reset(roomLook)
		return
	}
	w.reload()
}

// hostMayHelp has a reload that waits tried soon if the host is no longer as it was when it failed.
// However often the host changes, the watch spends most of its time on other things.
func (w *Watcher) hostMayHelp() {
	r := w.retry
	if r == nil || r.room || !r.host.Known {
		return
	}
	if host, err := w.Kernel.HostFacts(r.needs); err == nil && !reflect.DeepEqual(host, r.host) {
		r.host = plan.HostFacts{} // -- once is enough
		wait := max(0, r.pause-time.Since(r.ended))
		r.timer.Reset(wait)
		at := time.Now().Add(wait)
		w.shared.update(func(report *Report) { report.Retry = &Retry{Error: report.Retry.Error, At: &at} })
	}
}
