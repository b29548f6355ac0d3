package daemon

import (
	"cmp"
	"context"
	"slices"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

const (
	// preferPause is between two looks at round trips.
	preferPause = time.Second
	// leastGain is by how much another uplink must be quicker whatever the margin: less is noise.
	leastGain = 5 * time.Millisecond
)

// group is the routes of a table, of one family, destination and distance.
type group struct {
	table    string
	family   plan.Family
	dst      string
	distance uint32
}

// choice is the quickest uplink of a group. It has no clock: the caller passes the time.
type choice struct {
	uplink string
	// rival has been quicker since then.
	rival string
	since time.Time
}

// candidate is an uplink that may be chosen. Its round trip is 0 while none is known.
type candidate struct {
	uplink string
	rtt    time.Duration
	// fresh: its first round has not ended.
	fresh bool
}

// choose returns the uplink to use alone; empty if all share because nothing is known yet.
func (c *choice) choose(now time.Time, from []candidate, p policy.Prefer) string {
	known := slices.DeleteFunc(slices.Clone(from), func(o candidate) bool { return o.rtt == 0 })
	at := slices.IndexFunc(known, func(o candidate) bool { return o.uplink == c.uplink })
	if len(known) == 0 {
		*c = choice{}
		return ""
	}
	best := slices.MinFunc(known, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.rtt, b.rtt), cmp.Compare(a.uplink, b.uplink)) })
	if at < 0 {
		if c.uplink == "" && slices.ContainsFunc(from, func(o candidate) bool { return o.fresh }) {
			return "" // the first round decides, when it has ended
		}
		*c = choice{uplink: best.uplink}
		return c.uplink
	}
	used := known[at].rtt
	if gain := used - best.rtt; gain <= leastGain || gain <= time.Duration(p.Margin*float64(used)) {
		c.rival = ""
		return c.uplink
	}
	if c.rival == "" {
		c.rival, c.since = best.uplink, now
	}
	c.rival = best.uplink // -- any of them is better: the present one has been too slow all the time
	if now.Sub(c.since) >= p.Hold {
		*c = choice{uplink: best.uplink}
	}
	return c.uplink
}

// prefer records which uplinks tables skip for a quicker one, and reports whether that changed.
func (h *health) prefer(doc *policy.Document, now time.Time) (changed bool) {
	passed := compiler.Health{}
	for _, t := range preferring(doc) {
		for g, uplinks := range groups(t) {
			if h.choices[g] == nil {
				h.choices[g] = &choice{}
			}
			from := h.candidates(uplinks, g.family)
			chosen := h.choices[g].choose(now, from, t.Prefer)
			undecided := chosen == "" && slices.ContainsFunc(from, func(c candidate) bool { return c.fresh })
			for _, uplink := range uplinks {
				uv := compiler.UplinkVersion{Uplink: uplink, Family: g.family, Table: t.Name}
				if chosen != "" && uplink != chosen || undecided && h.down[uv] != 0 { // what the last run chose
					passed[uv] = 1
				}
			}
		}
	}
	for uv := range h.down {
		if uv.Table != "" && passed[uv] == 0 {
			delete(h.down, uv)
			changed = true
		}
	}
	for uv := range passed {
		changed = changed || h.down[uv] == 0
		h.down[uv] = 1
	}
	return changed
}

// preferring are the tables that choose among uplinks of equal distance.
func preferring(doc *policy.Document) (list []*policy.Table) {
	for i := range doc.Tables {
		if doc.Tables[i].Prefer.LowestRTT {
			list = append(list, &doc.Tables[i])
		}
	}
	if doc.Default != nil && doc.Default.Prefer.LowestRTT {
		list = append(list, doc.Default)
	}
	return list
}

// groups gathers a table's routes; those alone at their distance have nothing to choose.
func groups(t *policy.Table) map[group][]string {
	all := map[group][]string{}
	for _, r := range t.Routes {
		for _, family := range plan.Families {
			if r.Dst.IsValid() && plan.FamilyOf(r.Dst.Addr()) != family {
				continue
			}
			g := group{t.Name, family, "", r.Distance}
			if r.Dst.IsValid() {
				g.dst = r.Dst.String()
			}
			all[g] = append(all[g], r.Uplink)
		}
	}
	for g, uplinks := range all {
		if len(uplinks) < 2 {
			delete(all, g)
		}
	}
	return all
}

// candidates are the usable ones of uplinks.
func (h *health) candidates(uplinks []string, family plan.Family) (list []candidate) {
	for _, name := range uplinks {
		s, known := h.statuses[compiler.UplinkVersion{Uplink: name, Family: family}]
		if known && s.State.Usable() {
			list = append(list, candidate{name, s.RTT, s.State == healthcheck.Start})
		}
	}
	return list
}

// preferDue is when to look at round trips; never if no table prefers the quickest uplink.
func (w *Watcher) preferDue(tick *time.Ticker) <-chan time.Time {
	if len(preferring(w.doc)) == 0 {
		return nil
	}
	return tick.C
}

// preferQuicker compares the round-trip times again, and makes tables use quicker uplinks.
func (w *Watcher) preferQuicker(ctx context.Context) {
	for _, s := range w.Monitor.Statuses() {
		uv := keyOf(s.UplinkVersion)
		if known, is := w.health.statuses[uv]; is && known.State == s.State {
			w.health.statuses[uv] = s // for its round trip; another state comes with its event
		}
	}
	if !w.health.prefer(w.doc, time.Now()) {
		return
	}
	w.save()
	if w.update(ctx) {
		w.Log.Info("routes updated for the uplinks' round-trip times")
	}
}
