package watch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pbr/compiler"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// ForceAlone does what Force does, while no watch runs: the order is noted for the next one. With send the kernel, which holds the
// policy for left, is brought to it, and connections of an uplink that is taken out of use are cut; cut is how many.
func (w *Watcher) ForceAlone(ctx context.Context, left Left, uplink, mode string, send bool) (cut int, err error) {
	if uplinkNamed(w.doc, uplink) == nil {
		return 0, fmt.Errorf("forcing uplink %s: there is none of that name", uplink)
	}
	if w.machine, err = w.Kernel.Machine(compiler.Needs(w.doc)); err != nil {
		return 0, fmt.Errorf("reading the machine's state: %w", err)
	}
	w.health = w.loadHealth()
	w.health.leave(left)
	w.health.learnAddresses(w.doc, w.machine)
	if w.want, err = w.compile(w.doc); err != nil {
		return 0, err
	}
	w.health.take(forced(w.doc, left, uplink, mode))
	noted := w.Uptime() - left.Age // what was found is as old as before
	if err := w.write(noted); err != nil {
		return 0, fmt.Errorf("noting that uplink %s is to be %s: %w", uplink, mode, err)
	}
	if !send {
		return 0, nil
	}
	want, err := w.compile(w.doc)
	if err != nil {
		return 0, err
	}
	w.pin(want)
	if _, err := w.Kernel.Apply(ctx, want); err != nil {
		return 0, fmt.Errorf("applying that uplink %s is to be %s, which is noted: %w", uplink, mode, err)
	}
	w.take(want)
	if w.doc.Settings.CutOnFailover {
		if cuts, _ := w.health.cuts(w.doc, w.want); len(cuts) > 0 {
			if cut, err = w.Kernel.Cut(cuts); err != nil {
				return cut, fmt.Errorf("cutting connections of uplink %s: %w", uplink, err)
			}
		}
	}
	return cut, w.write(noted)
}

// leave reduces what is known to what counts without a watch.
func (h *health) leave(left Left) {
	h.statuses, h.down = map[string]healthcheck.Status{}, compiler.Health{}
	for _, s := range left.Uplinks {
		h.statuses[s.Uplink] = s
	}
	for name, order := range left.Down {
		h.down[name] = order
	}
	for name := range h.owed {
		if _, down := h.down[name]; !down {
			delete(h.owed, name)
		}
	}
}

// forced are the states of a policy's uplinks after an order about one of them; of those that nothing is known of it is Start.
func forced(doc *policy.Document, left Left, uplink, mode string) []healthcheck.Status {
	states := map[string]healthcheck.State{
		healthcheck.ForceDown: healthcheck.ForcedDown, healthcheck.ForceUp: healthcheck.ForcedUp, healthcheck.ForceAuto: healthcheck.Start,
	}
	list := make([]healthcheck.Status, 0, len(doc.Uplinks))
	for i := range doc.Uplinks {
		s := healthcheck.Status{Uplink: doc.Uplinks[i].Name, State: healthcheck.Start}
		if at := slices.IndexFunc(left.Uplinks, func(l healthcheck.Status) bool { return l.Uplink == s.Uplink }); at >= 0 {
			s = left.Uplinks[at]
		}
		if s.Uplink == uplink && s.State != states[mode] {
			s.State, s.Since = states[mode], time.Now()
		}
		list = append(list, s)
	}
	return list
}
