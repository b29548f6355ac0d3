package compiler

import (
	"cmp"
	"slices"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
)

// A schedule becomes a set of windows in absolute time: the kernel has no zones (its hours are
// those of UTC, and stay so when the zone changes). They reach a year ahead without anybody's
// doing; every apply and a watch extend them.

// horizon returns from when to when the windows reach that are made at a time: from the beginning
// of its month, so that plans of one month are the same, for at least a year.
func horizon(now time.Time) (from, to time.Time) {
	y, m, _ := now.UTC().Date()
	return time.Date(y, m, 1, 0, 0, 0, 0, time.UTC), time.Date(y, m+13, 1, 0, 0, 0, 0, time.UTC)
}

// SchedulesReach is the time until which the windows reach that are made at a time.
func SchedulesReach(now time.Time) time.Time {
	_, to := horizon(now)
	return to
}

// window is a span of time in seconds, its end omitted.
type window struct{ from, to int64 }

// windows returns when times hold within a span of time, merged.
func windows(list []policy.Times, local *time.Location, from, to time.Time) (out []window) {
	for i := range list {
		t := &list[i]
		zone := local
		if t.Location != nil {
			zone = t.Location
		}
		// Within a segment the zone has one offset.
		for at := from; at.Before(to); {
			_, next := at.In(zone).ZoneBounds()
			if next.IsZero() || next.After(to) {
				next = to
			}
			out = append(out, ofSegment(t.Items, zone, at, next)...)
			at = next
		}
	}
	sorting.Func(out, func(a, b window) int { return cmp.Compare(a.from, b.from) })
	merged := out[:0]
	for _, w := range out {
		if n := len(merged); n > 0 && w.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, w.to)
			continue
		}
		merged = append(merged, w)
	}
	return merged
}

// ofSegment returns the windows of a span of time in which the zone's offset from UTC is the same.
func ofSegment(items []policy.ScheduleItem, zone *time.Location, from, to time.Time) (out []window) {
	first := from.In(zone)
	_, offset := first.Zone()
	y, m, d := first.Date()
	for day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC); day.Unix()-int64(offset) < to.Unix(); day = day.AddDate(0, 0, 1) {
		midnight := day.Unix() - int64(offset)
		for _, i := range items {
			if i.Days&(1<<day.Weekday()) == 0 {
				continue
			}
			w := window{max(midnight+int64(i.From)*60, from.Unix()), min(midnight+int64(i.To)*60, to.Unix())}
			if w.from < w.to {
				out = append(out, w)
			}
		}
	}
	return out
}

// always is the window of policies that always count as in force while the clock is behind.
var always = window{0, 1<<63/1_000_000_000 - 1}

// scheduleSet names the set of a policy's windows. Those of policies that let nothing else through
// count as open while the clock is behind, and are sets of their own.
func scheduleSet(p *policy.Policy) string {
	name := "policy-" + p.Name + "-schedule"
	if p.ScheduleName != "" {
		name = "schedule-" + p.ScheduleName
	}
	if closes(p) {
		name += strictSuffix
	}
	return name
}

// ScheduleSet names the set of the windows in which a policy is in force, empty if it always is.
func ScheduleSet(p *policy.Policy) string {
	if len(p.Schedule) == 0 {
		return ""
	}
	return scheduleSet(p)
}

// closes reports whether a policy keeps connections from other uplinks.
func closes(p *policy.Policy) bool { return p.Strict || p.Target.Refuses() }

// scheduleSets are the sets of windows by name, with what they are made of.
func scheduleSets(doc *policy.Document) map[string]*policy.Policy {
	out := map[string]*policy.Policy{}
	for i := range doc.Policies {
		if p := &doc.Policies[i]; len(p.Schedule) > 0 {
			out[scheduleSet(p)] = p
		}
	}
	return out
}

// InSchedule reports whether a time is in the windows of a set, by the zones of the policy's
// schedule or else local; ok is false if there is no such set.
func InSchedule(doc *policy.Document, set string, now time.Time, local *time.Location) (in, ok bool) {
	p, ok := scheduleSets(doc)[set]
	return ok && p.InForce(now, local), ok
}

// addSchedule makes the set of a policy's windows known; its content is the machine's time's.
func (c *classifier) addSchedule(p *policy.Policy) []plan.Match {
	if len(p.Schedule) == 0 {
		return nil
	}
	name := scheduleSet(p)
	comment := "policy " + p.Name
	if p.ScheduleName != "" {
		comment = "schedule " + p.ScheduleName
	}
	if c.sets[name] == nil {
		c.sets[name] = &plan.Set{Name: name, Type: plan.TypeTime, Interval: true, Comment: comment}
	}
	return when(inSet(plan.FieldTime, name))
}

// fillSchedules gives the sets of windows their elements.
func (c *compilation) fillSchedules(sets []plan.Set) []plan.Set {
	if !policy.HasSchedule(c.doc) {
		return sets
	}
	sets = slices.Clone(sets)
	of := scheduleSets(c.doc)
	for i := range sets {
		if p := of[sets[i].Name]; p != nil {
			sets[i].Elements = c.scheduleElements(p)
		}
	}
	return sets
}

func (c *compilation) scheduleElements(p *policy.Policy) (out []plan.Element) {
	list := []window{always}
	if !c.host.ClockBehind || !closes(p) {
		if c.host.Now.IsZero() {
			return nil
		}
		from, to := horizon(c.host.Now)
		list = windows(p.Schedule, c.zone(), from, to)
	}
	for _, w := range list {
		out = append(out, plan.Element{From: plan.KeyFromSeconds(w.from), To: plan.KeyFromSeconds(w.to)})
	}
	return out
}

// zone is the machine's own.
func (c *compilation) zone() *time.Location {
	if c.host.Zone == nil {
		return time.UTC
	}
	return c.host.Zone
}
