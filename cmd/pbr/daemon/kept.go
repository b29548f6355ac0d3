package daemon

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// logKept logs once which tables have no usable uplink left, so that the routes over the last one
// stay, and when that ends. Otherwise a failed uplink in use would look like a mistake.
func (w *Watcher) logKept() {
	now := kept(w.shared.outline(), w.want, w.health.down)
	w.shared.update(func(r *Report) { r.Kept = now })
	if w.onStandby() { // -- no fault: no traffic is meant to come here
		w.kept, w.fallbacks = nil, nil
		return
	}
	for _, table := range w.shared.outline().Tables {
		uplinks, is := now[table]
		_, was := w.kept[table]
		switch {
		case is && !was:
			w.Log.Warn(fmt.Sprintf("table %s has no usable uplink left: the routes over the last one stay, %s", table, w.whyKept(uplinks)),
				"uplinks", strings.Join(uplinks, " "))
		case was && !is && !closed(w.shared.outline(), w.want, table):
			w.Log.Info(fmt.Sprintf("table %s has a usable uplink again", table))
		}
	}
	w.logSpent()
	w.logFallbacks()
	w.kept = now
}

// whyKept says why routes over unusable uplinks stay.
func (w *Watcher) whyKept(uplinks []string) string {
	for uv, s := range w.health.statuses {
		if slices.Contains(uplinks, uv.Uplink) && s.State.Dead() && !ordered(s.State) {
			return "in case its check is wrong"
		}
	}
	return "as there is no other"
}

// closed reports whether a table leads nowhere in an IP version, by intent.
func closed(o Outline, want *plan.Plan, table string) bool {
	for _, family := range plan.Families {
		for at, r := range want.BestRoutes(family) {
			if at.Table == o.Table(table) && at.Dst.Bits() == 0 && r.Kind == plan.Unreachable {
				return true
			}
		}
	}
	return false
}

// logSpent logs once that default leads nowhere because quotas are used up, and when that ends.
func (w *Watcher) logSpent() {
	spent := w.doc.Default != nil && !w.doc.Default.Strict && closed(w.shared.outline(), w.want, plan.DefaultName)
	switch {
	case spent && !w.spent:
		w.Log.Warn("table default is unreachable: the quota of its last uplink is used up: " +
			"pbr uplink NAME quota +5GB adds to it")
	case w.spent && !spent:
		w.Log.Info("table default is no longer unreachable")
	}
	w.spent = spent
}

// onStandby reports whether the other router of a pair holds all uplinks' addresses.
func (w *Watcher) onStandby() bool {
	for _, s := range w.health.statuses {
		if s.State != healthcheck.Standby && s.State != healthcheck.Absent {
			return false
		}
	}
	return len(w.health.statuses) > 0
}

// kept returns the tables with routes only over uplinks that are down, and these uplinks.
func kept(o Outline, want *plan.Plan, down compiler.Health) map[string][]string {
	byInterface := map[string]string{}
	for _, u := range o.Uplinks {
		byInterface[u.Interface] = u.Name
	}
	tables := map[uint32]string{}
	for _, name := range o.Tables {
		tables[o.Table(name)] = name
	}
	out := map[string][]string{}
	for _, family := range plan.Families {
		for at, r := range want.BestRoutes(family) {
			name, ours := tables[at.Table]
			if !ours || len(r.Hops) == 0 {
				continue
			}
			isUp := func(h plan.Hop) bool { return down.Order(byInterface[h.Dev], family) == 0 }
			if slices.ContainsFunc(r.Hops, isUp) {
				continue
			}
			for _, h := range r.Hops {
				out[name] = append(out[name], byInterface[h.Dev])
			}
		}
	}
	for name, uplinks := range out {
		slices.Sort(uplinks)
		out[name] = slices.Compact(uplinks)
	}
	return out
}
