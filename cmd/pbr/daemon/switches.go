package daemon

import (
	"sync"
	"time"

	"pbr/compiler/policy"
)

// Switch is the start or the end of a window of a policy that then flushes connections.
type Switch struct {
	Policy string
	Start  bool
}

// String says it for the log.
func (s Switch) String() string {
	if s.Start {
		return s.Policy + ": start"
	}
	return s.Policy + ": end"
}

// Switches are those that were found at the same time.
type Switches struct {
	Doc *policy.Document
	// List are the switches between Before and Now.
	List        []Switch
	Before, Now time.Time
}

// windows records which windows are open, for policies that flush at their start or end.
type windows struct {
	open  map[string]bool
	seen  time.Time
	timer *time.Timer
	// flushing is how many goroutines delete connections; one works at a time.
	flushing sync.WaitGroup
	working  sync.Mutex
}

// windowPause is the longest time until a change of the clock or of its zone is noticed.
const windowPause = 30 * time.Second

// windowsDue returns the channel of the next look at windows; nil while no policy flushes.
func (w *Watcher) windowsDue() <-chan time.Time {
	if w.windows.timer == nil {
		return nil
	}
	return w.windows.timer.C
}

// lookAtWindows flushes connections that policies decide otherwise because their windows began or
// ended since the last look. A policy that did not exist then has no start. While the clock is
// behind, nobody knows which windows are open.
func (w *Watcher) lookAtWindows() {
	now, zone := time.Now(), w.host.Zone
	if zone == nil {
		zone = time.UTC
	}
	next, flushes := windowPause, false
	var list []Switch
	open := map[string]bool{}
	for i := range w.doc.Policies {
		p := &w.doc.Policies[i]
		if !p.FlushAtStart && !p.FlushAtEnd {
			continue
		}
		flushes = true
		next = min(next, untilMinute(p, now, zone))
		in := p.InForce(now, zone)
		was, known := w.windows.open[p.Name]
		open[p.Name] = in
		if known && in != was && (in && p.FlushAtStart || was && p.FlushAtEnd) {
			list = append(list, Switch{p.Name, in})
		}
	}
	w.windows.timer = nil
	if flushes {
		w.windows.timer = time.NewTimer(next)
	}
	if w.host.ClockBehind {
		return
	}
	if len(list) > 0 {
		w.flushSwitched(&Switches{Doc: w.doc, List: list, Before: w.windows.seen, Now: now})
	}
	w.windows.open, w.windows.seen = open, now
}

// untilMinute returns how long the clocks of a policy's schedules still show the present minute:
// windows begin and end with a minute.
func untilMinute(p *policy.Policy, now time.Time, local *time.Location) time.Duration {
	left := time.Minute
	for i := range p.Schedule {
		zone := local
		if p.Schedule[i].Location != nil {
			zone = p.Schedule[i].Location
		}
		at := now.In(zone)
		left = min(left, time.Minute-time.Duration(at.Second())*time.Second-time.Duration(at.Nanosecond()))
	}
	return left
}

// flushSwitched deletes connections concurrently with the loop, because each one is evaluated.
func (w *Watcher) flushSwitched(s *Switches) {
	w.windows.flushing.Go(func() {
		w.windows.working.Lock()
		defer w.windows.working.Unlock()
		began := time.Now()
		n, err := w.Switched(s)
		w.shared.countFlushed(n)
		if err != nil {
			w.Log.Error("flushing connections because a schedule's window changed", "policies", s.List, "connections", n, "error", err)
			return
		}
		w.Log.Info("flushed connections because a schedule's window changed", "policies", s.List, "connections",
			n, "took", time.Since(began))
	})
}
