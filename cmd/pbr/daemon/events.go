package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// react updates the kernel for the uplinks' states, and then reports the events. The states are
// saved first, so that the next run completes what a killed run began.
func (w *Watcher) react(ctx context.Context, events []healthcheck.Event) {
	began := time.Now()
	moved := w.health.take(w.Monitor.Statuses())
	moved = w.health.prefer(w.doc, began) || moved
	if moved {
		w.save()
		moved = w.update(ctx)
	}
	took := time.Since(began)
	if moved {
		w.flush()
	}
	w.moveBack()
	changes := w.joined(events)
	for _, c := range changes {
		w.announce(c)
	}
	if len(changes) > 0 {
		w.save()
	}
	w.logTogether()
	if moved {
		w.shared.countUpdate(took)
		w.Log.Info("routes updated for the uplinks' health", "took", took)
		w.logKept()
		w.Notify("STATUS=" + w.summary())
	}
}

// update sends the changes of the plan for the uplinks' health. It reports whether that succeeded;
// otherwise it is tried again later.
func (w *Watcher) update(ctx context.Context) bool {
	want, err := w.compile(w.doc)
	if err != nil {
		w.Log.Error("keeping the last plan", "error", err)
		return false
	}
	w.pin(want)
	outcome, err := w.Kernel.Update(ctx, want)
	if err != nil {
		w.failed(err)
		return false
	}
	w.take(want)
	for _, text := range outcome.Warnings {
		w.Log.Warn(text)
	}
	return true
}

// take records the plan that the kernel holds from now on.
func (w *Watcher) take(want *plan.Plan) {
	w.health.noteMoves(w.doc, w.want, want)
	w.hold(want)
}

// hold records the plan that the kernel holds now, and logs each deferred part of the policy once.
func (w *Watcher) hold(want *plan.Plan) {
	for _, deferred := range want.Deferred {
		if w.want == nil || !slices.Contains(w.want.Deferred, deferred) {
			w.Log.Warn(deferred.Object + " deferred: " + deferred.Reason)
		}
	}
	w.want = want
	w.Names.Learn(w.doc, w.host)
	w.lookAtWindows()
	w.shared.setOutline(NewOutline(w.doc, want))
}

// pin pins the connections of a usable uplink that default leaves with want.
func (w *Watcher) pin(want *plan.Plan) {
	pins := w.health.pins(w.doc, w.want, want)
	clear(w.health.stopped)
	if len(pins) == 0 {
		return
	}
	n, err := w.Kernel.Pin(pins)
	if err != nil {
		w.Log.Error("pinning the connections of uplinks that default no longer uses", "error", err)
	}
	w.Log.Info("connections pinned to their uplink", "pinned", n)
}

// joined merges the events of both versions of an uplink that changed together, in the order of the
// first.
func (w *Watcher) joined(events []healthcheck.Event) (changes []HookEvent) {
	for _, e := range events {
		u := w.doc.Uplink(e.Uplink)
		if u == nil {
			continue // -- a reload removed it
		}
		last := -1 // -- the index of the uplink's last event so far
		for i := range changes {
			if changes[i].Uplink == e.Uplink {
				last = i
			}
		}
		if last >= 0 && !changes[last].Both && changes[last].Version != e.Version && changes[last].From == e.From &&
			changes[last].To == e.To {
			changes[last].Both = true
			continue
		}
		changes = append(changes, HookEvent{Event: e, Interface: u.Interface,
			Alone: !compiler.Carries(u, plan.IPv4) || !compiler.Carries(u, plan.IPv6)})
	}
	return changes
}

// announce logs an event and calls the hook.
func (w *Watcher) announce(e HookEvent) {
	log := w.Log.Info
	if worse(e.Event) {
		log = w.Log.Warn
	}
	log(e.headline(), "uplink", e.Uplink, "interface", e.Interface, "version", e.Versions(),
		"from", string(e.From), "to", string(e.To), "reason", e.Reason)
	w.shared.countEvent(e)
	w.past.add(e)
	outline := w.shared.outline()
	e.Tables = activeUplinks(&outline, w.want)
	e.Facts = w.facts(w.doc.Uplink(e.Uplink), e.Tables)
	w.Hook(e)
}

// worse reports whether an event took something away: the uplink's use, or its connections. An
// uplink whose link is back but that is still held down has not failed again, and one whose address
// the other router of a pair holds has not failed at all.
func worse(e healthcheck.Event) bool {
	if e.To == healthcheck.Standby {
		return false
	}
	return e.From.Usable() && !e.To.Usable() || !e.From.Dead() && e.Dead()
}

// summary returns the service manager's status line.
func (w *Watcher) summary() string {
	var usable, other int
	names := ""
	for _, u := range UplinkStates(w.Monitor.Statuses()) {
		if u.Usable() {
			usable++
			continue
		}
		other++
		names += fmt.Sprintf(" %s (%s)", u.Uplink, u.State())
	}
	if other == 0 {
		return fmt.Sprintf("%d uplinks in use", usable)
	}
	return fmt.Sprintf("%d uplinks in use, %d not:%s", usable, other, names)
}

// pendingEvents waits for the events of all states that changed since the last look, so that the
// cause is logged before its effects, and so that both versions of an uplink that change together
// are reported together.
func (w *Watcher) pendingEvents(ctx context.Context, events []healthcheck.Event) []healthcheck.Event {
	events = append(events, w.waitingEvents()...)
	for {
		missing := slices.ContainsFunc(w.Monitor.Statuses(), func(s healthcheck.Status) bool {
			before, known := w.health.statuses[keyOf(s.UplinkVersion)]
			return known && before.State != s.State &&
				!slices.ContainsFunc(events,
					func(e healthcheck.Event) bool { return e.UplinkVersion == s.UplinkVersion && e.To == s.State })
		})
		if !missing {
			return events
		}
		select {
		case e, ok := <-w.Monitor.Events():
			if !ok {
				return events
			}
			events = append(events, e)
		case <-time.After(eventPatience):
			return events
		case <-ctx.Done():
			return events
		}
	}
}

// waitingEvents collects the events that are there, so that one plan handles uplinks that fail
// together.
func (w *Watcher) waitingEvents() (events []healthcheck.Event) {
	for {
		select {
		case e, ok := <-w.Monitor.Events():
			if !ok {
				return events
			}
			events = append(events, e)
		default:
			return events
		}
	}
}
