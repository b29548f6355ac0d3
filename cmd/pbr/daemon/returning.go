package daemon

import (
	"slices"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// recovered is an uplink that became usable.
type recovered struct {
	since time.Time
	// done is how long it had been usable when connections last moved back to it.
	done time.Duration
}

// moveBack flushes the connections that use a worse uplink because a better one was unusable, once
// that has been usable for long enough. It sets a timer for the others. Routes have moved long
// before.
func (w *Watcher) moveBack() {
	now := time.Now()
	flushes, next := w.health.returning(w.doc, w.want, now)
	if !next.IsZero() {
		w.moveBackTimer.Reset(next.Sub(now))
	}
	if len(flushes) == 0 {
		return
	}
	w.flusher.pending++
	w.flusher.taken = append(w.flusher.taken, nil)
	w.flusher.jobs <- flushJob{flushes: flushes, why: "connections moved back to a better uplink"}
}

// returning returns the connections that move back now, and when others will.
func (h *health) returning(doc *policy.Document, want *plan.Plan, now time.Time) (flushes []Flush, next time.Time) {
	returns := policy.Returns(doc)
	for uv, s := range h.usable {
		later, usable := false, now.Sub(s.since)
		marks := map[uint32]bool{}
		for _, r := range returns {
			worse := fallbackMarks(want.Numbers, &r, uv.Uplink)
			switch {
			case len(worse) == 0:
			case usable < r.Settle:
				later = true
				if at := s.since.Add(r.Settle); next.IsZero() || at.Before(next) {
					next = at
				}
			case s.done < r.Settle:
				for _, mark := range worse {
					marks[mark] = true
				}
			}
		}
		if s.done = usable; !later {
			delete(h.usable, uv)
		}
		if c := (Flush{Family: uv.Family, Mask: want.NumberMask()}); len(marks) > 0 {
			for mark := range marks {
				c.Marks = append(c.Marks, mark)
			}
			slices.Sort(c.Marks)
			flushes = append(flushes, c)
		}
	}
	return flushes, next
}

// fallbackMarks returns the marks of connections that move back to an uplink from worse ones of a
// table.
func fallbackMarks(numbers []plan.Number, r *policy.Return, better string) (marks []uint32) {
	if !r.Move {
		return nil
	}
	for _, route := range r.Table.Routes {
		if route.Uplink == better || !slices.Contains(r.Better(route.Uplink), better) {
			continue
		}
		for _, n := range numbers {
			if n.Fallback && n.Uplink == route.Uplink && n.Strict == r.Table.Strict && !slices.Contains(marks, n.Mark) {
				marks = append(marks, n.Mark)
			}
		}
	}
	return marks
}
