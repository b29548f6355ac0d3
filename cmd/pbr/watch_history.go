package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/healthcheck/history"
	"pbr/kernel"
)

// recordPause is between two looks at what uplinks measured and carried: two for each step of the
// history's finest resolution.
const recordPause = 2500 * time.Millisecond

// recorder keeps the history of a watch. It only reads the watch's report, beside the loop.
type recorder struct {
	watch interface {
		Report() daemon.Report
		Events() []daemon.PastEvent
	}
	history *history.History
	log     *slog.Logger
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
	now, report := time.Now(), r.watch.Report()
	for _, s := range report.Uplinks {
		if s.Rounds > 0 {
			r.history.AddProbe(now, s.Uplink, int(s.Version), history.Probe{RTT: s.RTT, Jitter: s.Jitter, Loss: s.Loss})
		}
	}
	r.takeEvents(now)
	var names, interfaces []string
	for _, u := range report.Outline.Uplinks {
		names, interfaces = append(names, u.Name), append(interfaces, u.Interface)
	}
	if len(names) > 0 { // else the watch has only begun
		r.history.Keep(names)
	}
	if k == nil {
		return
	}
	carried, err := k.Traffic(interfaces)
	failed := err != nil && !kernel.Interrupted(err) // links that come and go are looked at again soon
	if failed && !r.silent {
		r.log.Warn("throughput is not recorded", "error", err)
	}
	r.silent = failed
	for _, u := range report.Outline.Uplinks {
		if t, there := carried[u.Interface]; there {
			r.history.AddCounters(now, u.Name, history.Counters{Life: fmt.Sprint(t.Boot, t.Index), In: t.Received, Out: t.Sent})
		}
	}
}

// takeEvents marks the changes of states that are new.
func (r *recorder) takeEvents(now time.Time) {
	newest := r.told
	for _, e := range r.watch.Events() {
		if !e.Time.After(r.told) {
			continue
		}
		r.history.AddMark(now, e.Uplink, history.Mark{At: e.Time, Version: e.Version, From: string(e.From),
			To: string(e.To), Reason: e.Reason,
			Usable: e.To.Usable(), WasUsable: e.From.Usable()})
		if e.Time.After(newest) {
			newest = e.Time
		}
	}
	r.told = newest
}
