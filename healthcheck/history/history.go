// Package history keeps what was measured of uplinks over the last hour and day, in memory, at
// falling resolution: round trips, jitter and loss of each IP version, and what the interface
// carried. It knows no clock: every call is given the time.
package history

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// Metric is what is kept.
type Metric uint8

// The metrics: seconds, shares of 1, and bytes a second.
const (
	RTT Metric = iota
	Jitter
	Loss
	In
	Out
)

// Span is how far back one looks.
type Span uint8

// The spans, and with them the resolutions.
const (
	Hour Span = iota
	Day
	spans
)

// resolutions are the steps of the spans, and how many of them are kept.
var resolutions = [spans]struct {
	step  time.Duration
	steps int64
}{Hour: {5 * time.Second, 720}, Day: {2 * time.Minute, 720}}

// Length is how long a span is.
func (s Span) Length() time.Duration {
	return time.Duration(resolutions[s].steps) * resolutions[s].step
}

// Step is the resolution of a span.
func (s Span) Step() time.Duration { return resolutions[s].step }

// MaxMarks is how many changes of state are kept of an uplink.
const MaxMarks = 64

// Mark is a change of an uplink's state.
type Mark struct {
	At time.Time
	// Version is "4", "6" or "both".
	Version, From, To, Reason string
	// Usable reports whether new connections could use the uplink from then on, WasUsable whether
	// they could before.
	Usable, WasUsable bool
}

// Failover reports whether connections had to leave the uplink, or could come back.
func (m Mark) Failover() bool { return m.Usable != m.WasUsable }

// History is the history of all uplinks. It is for any number of goroutines.
type History struct {
	mu       sync.Mutex
	start    time.Time
	versions map[uplinkVersion]*rings
	marks    map[string][]Mark
	last     map[string]Counters
}

// uplinkVersion is an uplink in one IP version; version 0 is the interface.
type uplinkVersion struct {
	uplink  string
	version int
}

// New returns an empty history. Times are counted from start, by the monotonic clock where they
// have it: somebody who sets the clock moves nothing.
func New(start time.Time) *History {
	return &History{start: start, versions: map[uplinkVersion]*rings{}, marks: map[string][]Mark{}, last: map[string]Counters{}}
}

// Probe is what the last rounds of probes found.
type Probe struct {
	// RTT and Jitter are unknown if RTT is 0: nothing was answered.
	RTT, Jitter time.Duration
	// Loss is a share of 1.
	Loss float64
}

// AddProbe adds what was found of an uplink in an IP version, 4 or 6.
func (h *History) AddProbe(now time.Time, uplink string, version int, p Probe) {
	rtt, jitter := p.RTT.Seconds(), p.Jitter.Seconds()
	if p.RTT == 0 {
		rtt, jitter = math.NaN(), math.NaN()
	}
	h.add(now, uplinkVersion{uplink, version}, []float64{rtt, jitter, p.Loss})
}

// Counters are what an interface received and sent since it exists. Life tells one interface from
// another of the same name.
type Counters struct {
	Life    string
	In, Out uint64
	at      time.Time
}

// AddCounters adds what an uplink's interface counted. The first reading, and the first of
// another interface, only begin.
func (h *History) AddCounters(now time.Time, uplink string, c Counters) {
	c.at = now
	h.mu.Lock()
	last, known := h.last[uplink]
	h.last[uplink] = c
	h.mu.Unlock()
	seconds := now.Sub(last.at).Seconds()
	if !known || last.Life != c.Life || c.In < last.In || c.Out < last.Out || seconds <= 0 {
		return
	}
	h.add(now, uplinkVersion{uplink, 0}, []float64{float64(c.In-last.In) / seconds, float64(c.Out-last.Out) / seconds})
}

func (h *History) add(now time.Time, l uplinkVersion, values []float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.versions[l]
	if r == nil {
		r = newRings(len(values))
		h.versions[l] = r
	}
	since := now.Sub(h.start)
	for i, v := range values {
		for s := range spans {
			r.of(i, s).add(int64(since/s.Step()), v, combine(l, i))
		}
	}
}

// combine is how several values of one step become one: by their mean, or by the worst one for
// losses, which a mean would hide.
func combine(l uplinkVersion, metric int) func(have float64, n int, v float64) float64 {
	if l.version != 0 && Metric(metric) == Loss {
		return func(have float64, _ int, v float64) float64 { return max(have, v) }
	}
	return mean
}

func mean(have float64, n int, v float64) float64 { return have + (v-have)/float64(n+1) }

// Series returns a metric's values over a span, the last one of the step that now is in; what is
// not known is not a number. Version 0 is for In and Out. points is how many values are wanted:
// neighbours are joined.
func (h *History) Series(now time.Time, uplink string, version int, m Metric, s Span, points int) []float64 {
	l, at := uplinkVersion{uplink, version}, int(m)
	if version == 0 {
		at = int(m - In)
	}
	all := make([]float64, resolutions[s].steps)
	h.mu.Lock()
	if r := h.versions[l]; r != nil {
		r.of(at, s).read(int64(now.Sub(h.start)/s.Step()), all)
	} else {
		unknown(all)
	}
	h.mu.Unlock()
	return joined(all, points, combine(l, at))
}

// Recent returns the last values of a metric at the finest resolution.
func (h *History) Recent(now time.Time, uplink string, version int, m Metric, points int) []float64 {
	all := h.Series(now, uplink, version, m, Hour, int(resolutions[Hour].steps))
	return all[len(all)-min(points, len(all)):]
}

func unknown(values []float64) {
	for i := range values {
		values[i] = math.NaN()
	}
}

// joined makes fewer values of many.
func joined(all []float64, points int, combine func(float64, int, float64) float64) []float64 {
	if points <= 0 || points >= len(all) {
		return all
	}
	out := make([]float64, points)
	unknown(out)
	counts := make([]int, points)
	for i, v := range all {
		at := i * points / len(all)
		switch {
		case math.IsNaN(v):
			continue
		case counts[at] == 0:
			out[at] = v
		default:
			out[at] = combine(out[at], counts[at], v)
		}
		counts[at]++
	}
	return out
}

// AddMark adds a change of an uplink's state; what is older than a day is forgotten.
func (h *History) AddMark(now time.Time, uplink string, m Mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := append(h.marks[uplink], m)
	list = slices.DeleteFunc(list, func(m Mark) bool { return now.Sub(m.At) > Day.Length() })
	h.marks[uplink] = list[max(0, len(list)-MaxMarks):]
}

// Marks are the changes of an uplink's state, the oldest first.
func (h *History) Marks(uplink string) []Mark {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.marks[uplink])
}

// Keep forgets all uplinks but these.
func (h *History) Keep(uplinks []string) {
	kept := make(map[string]bool, len(uplinks))
	for _, u := range uplinks {
		kept[u] = true
	}
	gone := func(uplink string) bool { return !kept[uplink] }
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.versions, func(l uplinkVersion, _ *rings) bool { return gone(l.uplink) })
	maps.DeleteFunc(h.marks, func(u string, _ []Mark) bool { return gone(u) })
	maps.DeleteFunc(h.last, func(u string, _ Counters) bool { return gone(u) })
}
