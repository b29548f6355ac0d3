package daemon

import (
	"slices"
	"strings"

	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// Together says which uplinks stay in use although their checks fail, because the checks of all
// others fail too; empty while that is not so. These are the uplinks that tables use because no
// other answers, default's first.
func Together(o Outline, have *plan.Plan, statuses []healthcheck.Status) string {
	doubtful := map[healthcheck.UplinkVersion]bool{}
	for _, s := range statuses {
		if s.State == healthcheck.Unconfirmed {
			doubtful[s.UplinkVersion] = true
		}
	}
	if len(doubtful) == 0 {
		return ""
	}
	byInterface := map[string]string{}
	for _, u := range o.Uplinks {
		byInterface[u.Interface] = u.Name
	}
	var keeping []string
	for i := range o.Tables {
		table := o.Table(o.Tables[len(o.Tables)-1-i]) // default is the last one
		for _, family := range plan.Families {
			for at, r := range have.BestRoutes(family) {
				for _, h := range r.Hops {
					name := byInterface[h.Dev]
					if at.Table == table && doubtful[healthcheck.UplinkVersion{Uplink: name,
						Version: healthcheck.Version(family)}] && !slices.Contains(keeping, name) {
						keeping = append(keeping, name)
					}
				}
			}
		}
	}
	if keeping == nil {
		for uv := range doubtful {
			keeping = append(keeping, uv.Uplink)
		}
		slices.Sort(keeping)
		keeping = slices.Compact(keeping)
	}
	return "all checks fail together: keeping " + strings.Join(keeping, ", ")
}

// logTogether logs once that checks fail together, and when that ends.
func (w *Watcher) logTogether() {
	statuses := make([]healthcheck.Status, 0, len(w.health.statuses))
	for _, s := range w.health.statuses {
		statuses = append(statuses, s)
	}
	now := Together(w.shared.outline(), w.want, statuses)
	switch {
	case now == w.together:
	case now != "":
		w.Log.Warn(now)
	default:
		w.Log.Info("checks no longer fail together")
	}
	w.together = now
	w.shared.update(func(r *Report) { r.Together = now })
}
