package daemon

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"pbr/compiler"
)

// kernelEvent handles an event from the kernel. If the host changed, the facts are read and the
// monitor is informed at once: the monitor's events come before the full pass, which finds what the
// kernel removed without an event.
func (w *Watcher) kernelEvent(n KernelEvent) {
	w.shared.countKernelEvent(n.Kind)
	if n.Kind == Drift {
		w.drifted(n)
		return
	}
	if n.Kind == Overrun {
		w.Log.Info("too many changes at once: reading everything again")
	}
	if !w.readHost() {
		return
	}
	w.due(max(eventPause, spacing-time.Since(w.lastRun)))
	w.hostMayHelp()
}

// readHost reads the host facts and informs the monitor; it reports whether that succeeded.
func (w *Watcher) readHost() bool {
	host, err := w.Kernel.HostFacts(compiler.Needs(w.doc))
	if err != nil {
		w.failed(err)
		return false
	}
	w.host = host
	w.sendLinks()
	return true
}

// drifted records that somebody changed something of ours, to be repaired.
func (w *Watcher) drifted(n KernelEvent) {
	w.dirty.drift = true
	objects := n.Objects
	switch {
	case n.TableGone:
		objects = nil // -- nobody fights over what was deleted with it
	case len(objects) == 0:
		objects = []string{n.What}
	}
	for _, o := range objects {
		if !slices.Contains(w.dirty.objects, o) {
			w.dirty.objects = append(w.dirty.objects, o)
		}
	}
	if n.What != "" && !slices.Contains(w.dirty.what, n.What) {
		w.dirty.what = append(w.dirty.what, n.What)
	}
	if n.Who != "" && !slices.Contains(w.dirty.peers, n.Who) {
		w.dirty.peers = append(w.dirty.peers, n.Who)
	}
	if n.TableGone {
		w.dirty.gone = true
		w.due(max(0, spacing-time.Since(w.lastRun)))
		return
	}
	w.due(w.repairs.delay(time.Now(), objects))
}

// keep adds the reasons of an earlier pass that failed.
func (d *dirty) keep(earlier dirty) {
	d.drift, d.gone = d.drift || earlier.drift, d.gone || earlier.gone
	d.objects, d.what, d.peers = earlier.objects, earlier.what, earlier.peers
}

// due requests a full pass after that time, or sooner if one is due sooner.
func (w *Watcher) due(in time.Duration) {
	at := time.Now().Add(in)
	if w.dirty.due && w.dirty.at.Before(at) {
		return
	}
	w.dirty.due, w.dirty.at = true, at
	w.full.Reset(in)
}

// failed logs an error and tries again later, at growing intervals. An error caused by others'
// concurrent changes is not a failure; it is tried again soon.
func (w *Watcher) failed(err error) {
	if errors.Is(err, ErrInterrupted) {
		w.dirty.retry = true
		w.due(spacing)
		return
	}
	now := time.Now()
	if host, machineErr := w.Kernel.HostFacts(compiler.Needs(w.doc)); machineErr == nil && !reflect.DeepEqual(host, w.host) {
		w.Log.Info("the host changed while the plan was being applied", "error", err)
		w.due(max(eventPause, spacing-time.Since(w.lastRun)))
		return
	}
	w.failures.count(now)
	wait := w.failures.delay(now)
	w.shared.countFailure()
	log := w.Log.Error
	if !w.failures.fighting() {
		log = w.Log.Warn // -- most likely a link that changed meanwhile
	}
	log("the kernel does not hold the policy", "error", err, "next_try", wait.Round(time.Millisecond))
	w.dirty.retry = true
	w.due(wait)
}

// pass reads everything and repairs what differs.
func (w *Watcher) pass(ctx context.Context) {
	why := w.dirty
	w.dirty = dirty{}
	w.full.Reset(audit)
	if !w.readHost() {
		w.dirty.keep(why)
		return
	}
	w.health.take(w.Monitor.Statuses())
	want, err := w.compile(w.doc)
	if err != nil {
		w.Log.Error("keeping the last plan", "error", err)
		return
	}
	w.pin(want)
	outcome, err := w.Kernel.Apply(ctx, want)
	w.lastRun = time.Now()
	if err != nil {
		if ctx.Err() == nil {
			w.failed(err)
			w.dirty.keep(why)
			if !errors.Is(err, ErrInterrupted) {
				w.repairs.count(w.lastRun, why.objects)
			}
		}
		return
	}
	w.failures = backoff{}
	w.sweepLate()
	w.take(want)
	w.setConfigs(nil)
	w.save()
	w.flush()
	w.shared.countPass(len(outcome.Changed) > 0, why.drift)
	w.logPass(why, outcome)
	w.logKept()
}

// logPass logs what a full pass did, once for all reasons that led to it.
func (w *Watcher) logPass(why dirty, o Outcome) {
	if len(o.Changed) == 0 {
		if why.retry {
			w.Log.Info("the kernel holds the policy again")
		}
		return
	}
	if !why.drift {
		w.logOutcome("followed a change of the host", o)
		return
	}
	now := time.Now()
	w.repairs.count(now, why.objects)
	args := []any{"repaired", o.Changed}
	if why.gone {
		times := w.gone.count(now)
		if times == 0 {
			return
		}
		if times > 1 {
			args = append(args, "tables_made", times)
		}
	}
	if len(why.peers) > 0 {
		args = append(args, "by", first(why.peers))
	}
	if len(why.what) > 0 {
		args = append(args, "changed", first(why.what))
	}
	if worst := w.repairs.worst(why.objects); worst.fighting() && !why.gone {
		args = append(args, "times", worst.n, "next_repair_after", worst.delay(now))
	}
	w.Log.Warn("somebody else changed pbr's objects", args...)
	for _, text := range o.Warnings {
		w.Log.Warn(text)
	}
}

// shown is how many items of a list a log line shows.
const shown = 3

// first joins the first of a list, and says how many more there are.
func first(list []string) string {
	text := strings.Join(list[:min(shown, len(list))], ", ")
	if more := len(list) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
