package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"pbr/compiler"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// Forced is what an order did.
type Forced struct {
	// Flushed is how many connections were cut.
	Flushed int
	// Kept has the tables that no usable uplink is left for, and the uplinks whose routes they keep
	// all the same.
	Kept map[string][]string
}

// ForceAlone does what Force does, while no watch runs: the order is noted for the next one. With
// send the kernel, which holds the policy for left, is brought to it, and connections of an uplink
// that is taken out of use are cut.
func (w *Watcher) ForceAlone(ctx context.Context, left LastHealth, uplink, mode string, send bool) (done Forced, err error) {
	if err := CheckUplink(w.doc, uplink); err != nil {
		return done, err
	}
	if w.host, err = w.Kernel.HostFacts(compiler.Needs(w.doc)); err != nil {
		return done, fmt.Errorf("reading the machine's state: %w", err)
	}
	w.health = w.loadHealth()
	w.health.leave(left)
	w.health.learnAddresses(w.doc, w.host)
	if w.want, err = w.compile(w.doc); err != nil {
		return done, err
	}
	w.health.take(forced(w.doc, left, uplink, mode))
	noted := w.Uptime() - left.Age // what was found is as old as before
	if err := w.write(noted); err != nil {
		return done, fmt.Errorf("noting that uplink %s is to be %s: %w", uplink, mode, err)
	}
	if !send {
		return done, nil
	}
	want, err := w.compile(w.doc)
	if err != nil {
		return done, err
	}
	w.pin(want)
	if want, _, err = w.converge(ctx, w.doc, want); err != nil {
		return done, fmt.Errorf("applying that uplink %s is to be %s, which is noted: %w", uplink, mode, err)
	}
	w.take(want)
	w.logKept()
	done.Kept = w.kept
	if w.doc.Settings.CutOnFailover {
		if flushes, _ := w.health.flushes(w.doc, w.want); len(flushes) > 0 {
			if done.Flushed, err = w.Kernel.FlushConnections(flushes); err != nil {
				return done, fmt.Errorf("cutting connections of uplink %s: %w", uplink, err)
			}
		}
	}
	return done, w.write(noted)
}

// leave reduces what is known to what counts without a watch.
func (h *health) leave(left LastHealth) {
	h.statuses, h.down = map[compiler.Line]healthcheck.Status{}, maps.Clone(left.Down)
	for _, s := range left.Uplinks {
		h.statuses[lineOf(s.Line)] = s
	}
	for line := range h.pending {
		if _, down := h.down[line]; !down {
			delete(h.pending, line)
		}
	}
}

// forced are the states of a policy's lines after an order about one uplink; of those that nothing
// is known of it is Start.
func forced(doc *policy.Document, left LastHealth, uplink, mode string) []healthcheck.Status {
	states := map[string]healthcheck.State{
		healthcheck.ForceDown: healthcheck.ForcedDown, healthcheck.ForceUp: healthcheck.ForcedUp, healthcheck.ForceAuto: healthcheck.Start,
	}
	var list []healthcheck.Status
	for _, line := range Lines(doc) {
		s := healthcheck.Status{Line: line, State: healthcheck.Start}
		if at := slices.IndexFunc(left.Uplinks, func(l healthcheck.Status) bool { return l.Line == line }); at >= 0 {
			s = left.Uplinks[at]
		}
		if s.Uplink == uplink && s.State != states[mode] {
			s.State, s.Since = states[mode], time.Now()
		}
		list = append(list, s)
	}
	return list
}
