package daemon

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bedtime has policies of a clock in Berlin, and of the machine's. Probes are few, as nothing else
// happens.
var bedtime = strings.ReplaceAll(twoUplinks, "\"100ms\"", "\"60s\"") + `
[[policy]]
name = "bedtime"
schedule = { from = "01:20", to = "06:00", timezone = "Europe/Berlin" }
at-start = "flush"
action = "drop"
[[policy]]
name = "office"
schedule = "23:40-23:55"
at-start = "flush"
at-end = "flush"
uplink = "isp2"
strict = false
[[policy]]
name = "night"
schedule = "00:00-06:00"
action = "drop"
`

// recordSwitches has a bench note what is flushed, by the clock of UTC.
func recordSwitches(b *bench) func() []string {
	var seen []string
	b.switched = func(s *Switches) (int, error) {
		if !s.Before.Before(s.Now) {
			b.t.Errorf("from %s to %s", s.Before, s.Now)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, one := range s.List {
			seen = append(seen, time.Now().UTC().Format("15:04:05 ")+one.String())
		}
		return 3, nil
	}
	return func() []string {
		b.mu.Lock()
		defer b.mu.Unlock()
		out := seen
		seen = nil
		return out
	}
}

// odd is a zone in which the bubble's clock, midnight of 1 January 2000 in UTC, begins at 23:29:45.
var odd = time.FixedZone("odd", -30*60-15)

func TestSwitchesFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bedtime)
		b.kernel.host.Zone = odd
		seen := recordSwitches(b)
		b.start()
		sleep(30*time.Minute - time.Second)
		want := []string{"00:10:15 office: start", "00:20:00 bedtime: start", "00:25:15 office: end"}
		if got := seen(); !slices.Equal(got, want) {
			t.Errorf("in half an hour: %q", got)
		}
		if flushed := b.w.Report().Numbers.Flushed; flushed != 9 {
			t.Errorf("%d connections counted", flushed)
		}
		if log := b.log.String(); strings.Count(log, "flushed connections because a schedule's window changed") != 3 {
			t.Error(log)
		}
		// What was open before stays so over a reload, what is new has no start, and an edit that
		// opens a window is one.
		b.reload(strings.ReplaceAll(bedtime, `"23:40-23:55"`, `"23:58-24:00"`) +
			"[[policy]]\nname = \"new\"\nschedule = \"00:00-24:00\"\nat-start = \"flush\"\naction = \"drop\"\n")
		if got := seen(); !slices.Equal(got, []string{"00:29:59 office: start"}) {
			t.Errorf("after an edit: %q", got)
		}
		b.reload(twoUplinks)
		sleep(2 * time.Minute)
		if got := seen(); got != nil {
			t.Errorf("without such policies: %q", got)
		}
		b.stop()
	})
}

// A clock that is behind says nothing: what is open is known when it is right, and that is no
// start.
func TestSwitchesWaitForTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, bedtime)
		b.kernel.host.Zone, b.kernel.host.ClockBehind = odd, true
		seen := recordSwitches(b)
		b.start()
		sleep(12 * time.Minute)
		b.kernel.do(func() { b.kernel.host.ClockBehind = false })
		sleep(7 * time.Minute)
		if got := seen(); got != nil {
			t.Errorf("%q", got)
		}
		sleep(9 * time.Minute)
		if got := seen(); !slices.Equal(got, []string{"00:20:00 bedtime: start", "00:25:15 office: end"}) {
			t.Errorf("%q", got)
		}
		b.stop()
	})
}
