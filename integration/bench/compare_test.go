package bench

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// rounds is how often each pair is run, in the order A B, B A, A B, ...
const rounds = 5

// parts are the times of the steps of one run.
type parts struct {
	names []string
	times map[string]time.Duration
}

// time runs a step.
func (p *parts) time(name string, step func()) {
	start := time.Now()
	step()
	p.add(name, time.Since(start))
}

func (p *parts) add(name string, d time.Duration) {
	if p.times == nil {
		p.times = map[string]time.Duration{}
	}
	p.names = append(p.names, name)
	p.times[name] = d
}

// result is a comparison that was made.
type result struct {
	what         string
	aim          float64
	ratios       []float64
	ours, theirs []time.Duration
	steps        []parts
}

// results are all that were made, in their order.
var results []result

// side is one of the two that a comparison has.
type side struct {
	// before runs before each measurement and is none of it; it may be nil.
	before func(*parts)
	run    func(*parts)
}

// compare measures ours against theirs.
func compare(b *testing.B, what string, aim float64, ours, theirs side) {
	b.Helper()
	r := result{what: what, aim: aim}
	for round := range rounds {
		var steps parts
		first := func() { r.ours = append(r.ours, ours.measure(&steps)) }
		second := func() { r.theirs = append(r.theirs, theirs.measure(&parts{})) }
		if round%2 == 1 {
			first, second = second, first
		}
		first()
		second()
		r.steps = append(r.steps, steps)
		r.ratios = append(r.ratios, float64(r.ours[round])/float64(r.theirs[round]))
	}
	results = append(results, r)
	b.ReportMetric(median(r.ratios), strings.NewReplacer(" / ", "/", " ", "-", ",", "").Replace(what))
}

// compareTimes compares times that ours and theirs find out themselves, without an aim, in turns as
// compare does.
func compareTimes(b *testing.B, what string, times int, ours, theirs func() time.Duration) {
	b.Helper()
	r := result{what: what}
	for round := range times {
		first := func() { r.ours = append(r.ours, ours()) }
		second := func() { r.theirs = append(r.theirs, theirs()) }
		if round%2 == 1 {
			first, second = second, first
		}
		first()
		second()
		r.steps = append(r.steps, parts{})
		r.ratios = append(r.ratios, float64(r.ours[round])/float64(r.theirs[round]))
	}
	results = append(results, r)
	b.ReportMetric(median(r.ratios), strings.NewReplacer(" / ", "/", " ", "-", ",", "").Replace(what))
}

// measure returns the time of one run. The garbage of what went before is not in it.
func (s side) measure(p *parts) time.Duration {
	if s.before != nil {
		s.before(p)
	}
	runtime.GC()
	start := time.Now()
	s.run(p)
	return time.Since(start)
}

func median[T float64 | time.Duration](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// report prints what was measured: the median of the ratios within each round, their extremes, and
// where our time went.
func report(w io.Writer) {
	if len(results) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "\nWHAT\tRATIO\tAIM\tSPREAD\tOURS\tOTHER\tWHERE OUR TIME GOES\n")
	for i := range results {
		r := &results[i]
		aim := "-"
		if r.aim > 0 {
			aim = fmt.Sprintf("%g", r.aim)
		}
		fmt.Fprintf(t, "%s\t%.3g\t%s\t%.3g - %.3g\t%s\t%s\t%s\n", r.what, median(r.ratios), aim, slices.Min(r.ratios), slices.Max(r.ratios),
			milliseconds(median(r.ours)), milliseconds(median(r.theirs)), r.shares())
	}
	_ = t.Flush()
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.4g ms", math.Round(float64(d)/float64(10*time.Microsecond))/100)
}

// shares names the steps with the medians of their times.
func (r *result) shares() string {
	var out []string
	for _, name := range r.steps[0].names {
		var times []time.Duration
		for _, s := range r.steps {
			times = append(times, s.times[name])
		}
		out = append(out, name+" "+milliseconds(median(times)))
	}
	return strings.Join(out, ", ")
}
