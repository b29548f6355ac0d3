package history

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"pbr/integration/steps"
)

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// text writes values for comparison, with "-" for those that are not known.
func text(values []float64) (out []string) {
	for _, v := range values {
		if math.IsNaN(v) {
			out = append(out, "-")
		} else {
			out = append(out, fmt.Sprintf("%.3g", v))
		}
	}
	return out
}

func wants(t *testing.T, got []float64, want ...string) {
	t.Helper()
	if !slices.Equal(text(got), want) {
		t.Errorf("%v, not %v", text(got), want)
	}
}

func TestProbes(t *testing.T) {
	h := New(start)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for s, p := range []Probe{0: {10 * time.Millisecond, time.Millisecond, 0},
		3: {20 * time.Millisecond, time.Millisecond, 0.5}, 5: {0, 0, 1}, 20: {40 * time.Millisecond, 0, 0}} {
		if p != (Probe{}) {
			h.AddProbe(at(s), "isp1", 4, p)
		}
	}
	t.Run("what was seen lately, by uplink and version", func(t *testing.T) {
		wants(t, h.Recent(at(21), "isp1", 4, RTT, 6), "-", "0.015", "-", "-", "-", "0.04")
		wants(t, h.Recent(at(21), "isp1", 4, Loss, 6), "-", "0.5", "1", "-", "-", "0")
		wants(t, h.Recent(at(31), "isp1", 4, Loss, 3), "0", "-", "-")
		wants(t, h.Recent(at(21), "isp1", 6, RTT, 2), "-", "-")
		wants(t, h.Recent(at(21), "other", 4, RTT, 2), "-", "-")
	})
	t.Run("a day shows the latest of three minutes", func(t *testing.T) {
		day := h.Series(at(21), "isp1", 4, Loss, Day, 720)
		wants(t, day[717:], "-", "-", "1")
	})
	t.Run("an hour shows each step", func(t *testing.T) {
		wants(t, h.Series(at(21), "isp1", 4, Loss, Hour, 360)[357:], "0.5", "1", "0")
	})
}

// What is older than a span is gone, also after a long pause, and what comes then is in its place.
func TestRound(t *testing.T) {
	h := New(start)
	for s := 0; s < 3*3600; s += 2 {
		h.AddProbe(start.Add(time.Duration(s)*time.Second), "a", 4, Probe{RTT: time.Duration(1+s) * time.Millisecond})
	}
	now := start.Add(3*3600*time.Second - 1)
	step := steps.Of(t)
	step.Run("an hour has its last 720 values", func(t *testing.T) {
		all := h.Series(now, "a", 4, RTT, Hour, 0)
		if len(all) != 720 || text(all)[0] != "7.2" || text(all)[719] != "10.8" || !slices.IsSorted(all) {
			t.Errorf("%v", text(all))
		}
	})
	step.Run("a day has only what was seen", func(t *testing.T) {
		if day := h.Series(now, "a", 4, RTT, Day, 0); slices.ContainsFunc(day[720-90:], math.IsNaN) || !math.IsNaN(day[720-91]) {
			t.Errorf("%v", text(day))
		}
	})
	step.Run("what is older than a span is gone", func(t *testing.T) {
		now = now.Add(48 * time.Hour)
		if all := h.Series(now, "a", 4, RTT, Hour, 0); len(slices.DeleteFunc(all, math.IsNaN)) != 0 {
			t.Errorf("%v", text(all))
		}
	})
	step.Run("what comes then is in its place", func(t *testing.T) {
		h.AddProbe(now, "a", 4, Probe{RTT: time.Second})
		wants(t, h.Recent(now, "a", 4, RTT, 2), "-", "1")
		now = now.Add(time.Hour)
		h.AddProbe(now, "a", 4, Probe{RTT: 2 * time.Second})
		wants(t, h.Recent(now, "a", 4, RTT, 2), "-", "2")
	})
}

func TestThroughput(t *testing.T) {
	h := New(start)
	for i, c := range []Counters{{"a", 1000, 10, start}, {"a", 6000, 20, start}, {"a", 6000, 20, start},
		{"b", 50, 5, start}, {"b", 100, 10, start}, {"b", 0, 0, start}} {
		h.AddCounters(start.Add(time.Duration(5*i)*time.Second), "isp1", c)
	}
	now := start.Add(25 * time.Second)
	wants(t, h.Recent(now, "isp1", 0, In, 6), "-", "1e+03", "0", "-", "10", "-")
	wants(t, h.Recent(now, "isp1", 0, Out, 6), "-", "2", "0", "-", "1", "-")
}

func TestMarks(t *testing.T) {
	h := New(start)
	for i := range 100 {
		at := start.Add(time.Duration(i) * time.Minute)
		h.AddMark(at, "a", Mark{At: at, To: "down", WasUsable: true})
	}
	later := start.Add(25 * time.Hour)
	step := steps.Of(t)
	step.Run("the newest of them are kept", func(t *testing.T) {
		if m := h.Marks("a"); len(m) != MaxMarks || m[0].At != start.Add(36*time.Minute) || !m[0].Failover() {
			t.Errorf("%d marks", len(m))
		}
	})
	step.Run("those of more than a day ago go", func(t *testing.T) {
		h.AddMark(later, "a", Mark{At: later})
		if m := h.Marks("a"); len(m) != 41 || m[40].Failover() { // those of the minutes 60 to 99, and the new one
			t.Errorf("%d marks", len(m))
		}
	})
	step.Run("only uplinks that there are stay", func(t *testing.T) {
		h.AddMark(later, "b", Mark{At: later})
		h.AddProbe(later, "a", 4, Probe{})
		h.Keep([]string{"b"})
		if len(h.Marks("a")) != 0 || len(h.Marks("b")) != 1 || len(h.versions) != 0 {
			t.Error("Keep keeps others")
		}
	})
}

// 200 uplinks of two versions, a day and more of each, take less than 20 MB.
func TestMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	h := New(start)
	for i := range 200 {
		name := fmt.Sprintf("isp%d", i)
		for s := range 800 {
			// One value for each step of both spans: first of an hour, then of a day.
			now := start.Add(time.Duration(s) * 5 * time.Second)
			if s >= 721 {
				now = start.Add(time.Duration(s-700) * 3 * time.Minute)
			}
			for _, version := range []int{4, 6} {
				h.AddProbe(now, name, version, Probe{RTT: time.Millisecond})
			}
			h.AddCounters(now, name, Counters{In: uint64(s), Out: uint64(s)})
			h.AddMark(now, name, Mark{At: now})
		}
		for _, r := range h.versions {
			for j := range r.list { // a ring that did not fill by itself
				for int64(len(r.list[j].values)) < r.list[j].steps {
					r.list[j].values = append(r.list[j].values, 0)
				}
			}
		}
	}
	used := heap() - before
	t.Logf("%.1f MB", float64(used)/1e6)
	if used > 20e6 {
		t.Errorf("%.1f MB for 200 uplinks", float64(used)/1e6)
	}
	runtime.KeepAlive(h)
}

func BenchmarkAdd(b *testing.B) {
	h := New(start)
	for i := 0; b.Loop(); i++ {
		h.AddProbe(start.Add(time.Duration(i)*time.Second), "a", 4, Probe{RTT: time.Millisecond})
	}
}
