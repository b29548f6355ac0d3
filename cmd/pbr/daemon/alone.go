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

// Forced is the result of an order.
type Forced struct {
	// Flushed is how many connections were deleted.
	Flushed int
	// Kept has the tables that have no usable uplink left, with the uplinks whose routes they keep.
	Kept map[string][]string
}

// ForceAlone is Force while no watch runs: it records the order for the next watch. With send set
// it also updates the kernel, which holds the policy for last, and deletes the connections of an
// uplink that is taken out of use.
func (w *Watcher) ForceAlone(ctx context.Context, last LastHealth, uplink, mode string, send bool) (done Forced, err error) {
	if err := CheckUplink(w.doc, uplink); err != nil {
		return done, err
	}
	if w.host, err = w.Kernel.HostFacts(compiler.Needs(w.doc)); err != nil {
		return done, fmt.Errorf("reading the host facts: %w", err)
	}
	w.health = w.loadHealth()
	w.health.resume(last)
	w.health.learnAddresses(w.doc, w.host)
	if w.want, err = w.compile(w.doc); err != nil {
		return done, err
	}
	w.health.take(forced(w.doc, last, uplink, mode))
	noted := w.Uptime() - last.Age // -- what the checks found is as old as before
	if err := w.write(noted); err != nil {
		return done, fmt.Errorf("recording uplink %s: %s: %w", uplink, mode, err)
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
		return done, fmt.Errorf("uplink %s: %s is recorded, but could not be applied: %w", uplink, mode, err)
	}
	w.take(want)
	w.logKept()
	done.Kept = w.kept
	if w.doc.Settings.FlushOnFailover {
		if flushes, _ := w.health.flushes(w.doc, w.want); len(flushes) > 0 {
			if done.Flushed, err = w.Kernel.FlushConnections(flushes); err != nil {
				return done, fmt.Errorf("flushing connections of uplink %s: %w", uplink, err)
			}
		}
	}
	return done, w.write(noted)
}

// resume reduces health to what counts without a watch.
func (h *health) resume(last LastHealth) {
	h.statuses, h.down = map[compiler.UplinkVersion]healthcheck.Status{}, maps.Clone(last.Down)
	for _, s := range last.Uplinks {
		h.statuses[keyOf(s.UplinkVersion)] = s
	}
	for uv := range h.pending {
		if _, down := h.down[uv]; !down {
			delete(h.pending, uv)
		}
	}
}

// forced returns the states of a policy's uplinks after an order about one; Start for those of
// which nothing is known.
func forced(doc *policy.Document, last LastHealth, uplink, mode string) []healthcheck.Status {
	states := map[string]healthcheck.State{
		healthcheck.ForceDown: healthcheck.ForcedDown, healthcheck.ForceUp: healthcheck.ForcedUp, healthcheck.ForceAuto: healthcheck.Start,
	}
	var list []healthcheck.Status
	for _, uv := range UplinkVersions(doc) {
		s := healthcheck.Status{UplinkVersion: uv, State: healthcheck.Start}
		if at := slices.IndexFunc(last.Uplinks, func(l healthcheck.Status) bool { return l.UplinkVersion == uv }); at >= 0 {
			s = last.Uplinks[at]
		}
		if s.Uplink == uplink && s.State != states[mode] {
			s.State, s.Since = states[mode], time.Now()
			s.Closed = s.Closed && mode == healthcheck.ForceDown // -- an order does not give a quota back
		}
		list = append(list, s)
	}
	return list
}
