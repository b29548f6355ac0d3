package main

import (
	"context"
	"log/slog"
	"math"
	"strconv"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/healthcheck"
	"pbr/healthcheck/history"
	"pbr/kernel"
)

const (
	// recordPause is between two looks at what uplinks measured: two for each step of the history's
	// finest resolution.
	recordPause = 2500 * time.Millisecond
	// countersEach is for how many of these there is a look at what interfaces counted: nothing is
	// lost by a longer pause, and the kernel has to be asked.
	countersEach = 2
)

// recorder keeps the history of a watch, beside the loop.
type recorder struct {
	watch interface {
		Statuses() []healthcheck.Status
		Uplinks() []daemon.OutlineUplink
		EventsSince(t time.Time) []daemon.PastEvent
	}
	history *history.History
	log     *slog.Logger
	// names and interfaces are those of the uplinks at the last look.
	names, interfaces []string
	// looks counts them.
	looks int
	// told is the newest event that was copied.
	told time.Time
	// silent means that the interfaces' counters cannot be read, which was logged.
	silent bool
}

// recentPoints is how many values a terminal has room for at most.
const recentPoints = 60

// recent is what was measured of all lines recently.
func (w *webSource) recent() (list []daemon.Measured) {
	now := time.Now()
	narrow := func(values []float64) []float32 {
		out := make([]float32, len(values))
		for i, v := range values {
			if out[i] = float32(v); math.IsNaN(v) {
				out[i] = -1
			}
		}
		return out
	}
	for _, s := range w.watch.Report().Uplinks {
		v := int(s.Version)
		list = append(list, daemon.Measured{Uplink: s.Uplink, Version: v, Step: history.Hour.Step().Seconds(),
			RTT:  narrow(w.history.Recent(now, s.Uplink, v, history.RTT, recentPoints)),
			Loss: narrow(w.history.Recent(now, s.Uplink, v, history.Loss, recentPoints))})
	}
	return list
}

// run records until ctx ends.
func (r *recorder) run(ctx context.Context) {
	k, err := kernel.Open(kernel.DefaultStateDir) // of its own: the watch's is in use
	if err != nil {
		r.log.Warn("throughput is not recorded", "error", err)
	} else {
		defer k.Close()
	}
	tick := time.NewTicker(recordPause)
	defer tick.Stop()
	for {
		r.look(k)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look takes one look; k is nil if the kernel cannot be read.
func (r *recorder) look(k *kernel.Kernel) {
	now := time.Now()
	for _, s := range r.watch.Statuses() {
		if s.Rounds > 0 {
			r.history.AddProbe(now, s.Uplink, int(s.Version), history.Probe{RTT: s.RTT, Jitter: s.Jitter, Loss: s.Loss})
		}
	}
	r.takeEvents(now)
	r.follow(r.watch.Uplinks())
	r.looks++
	if k == nil || r.looks%countersEach == 0 {
		return
	}
	carried, err := k.Traffic(r.interfaces)
	failed := err != nil && !kernel.Interrupted(err) // links that come and go are looked at again soon
	if failed && !r.silent {
		r.log.Warn("throughput is not recorded", "error", err)
	}
	r.silent = failed
	for i, name := range r.names {
		if t, there := carried[r.interfaces[i]]; there {
			r.history.AddCounters(now, name, history.Counters{Life: strconv.Itoa(t.Index), In: t.Received, Out: t.Sent})
		}
	}
}

// follow forgets what is no longer an uplink. There are none while the watch begins.
func (r *recorder) follow(uplinks []daemon.OutlineUplink) {
	r.names, r.interfaces = r.names[:0], r.interfaces[:0]
	for _, u := range uplinks {
		r.names, r.interfaces = append(r.names, u.Name), append(r.interfaces, u.Interface)
	}
	if len(r.names) > 0 {
		r.history.Keep(r.names)
	}
}

// takeEvents marks the changes of states that are new.
func (r *recorder) takeEvents(now time.Time) {
	newest := r.told
	for _, e := range r.watch.EventsSince(r.told) {
		r.history.AddMark(now, e.Uplink, history.Mark{At: e.Time, Version: e.Version, From: string(e.From),
			To: string(e.To), Reason: e.Reason,
			Usable: e.To.Usable(), WasUsable: e.From.Usable()})
		if e.Time.After(newest) {
			newest = e.Time
		}
	}
	r.told = newest
}
