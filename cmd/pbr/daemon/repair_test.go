package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// spoil changes what is pbr's, and reports it.
func (b *bench) spoil(n KernelEvent) {
	b.kernel.do(func() { b.kernel.spoiled = []string{"rules: 1 added"} })
	n.Kind, n.Who = Drift, "intruder, process 7"
	b.events <- n
}

// repairedWithin reports whether what was spoiled is repaired within that time.
func (b *bench) repairedWithin(limit time.Duration) bool {
	synctest.Wait()
	for end := time.Now().Add(limit); ; sleep(time.Millisecond) {
		whole := false
		b.kernel.do(func() { whole = len(b.kernel.spoiled) == 0 })
		if whole || time.Now().After(end) {
			return whole
		}
	}
}

// A fight over one object leaves the repair of all others immediate.
func TestFightOverOneObject(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		fought := KernelEvent{What: "rule deleted", Objects: []string{"ip -4 rule 10001"}}
		for range 8 {
			b.spoil(fought)
			if !b.repairedWithin(2 * maxWait) {
				t.Fatal("not repaired at all")
			}
		}
		b.spoil(fought)
		if b.repairedWithin(time.Second) {
			t.Fatal("no back-off in a fight")
		}
		b.spoil(KernelEvent{What: "chain", Objects: []string{"chain pre"}})
		if !b.repairedWithin(200 * time.Millisecond) {
			t.Error("a fight over a rule delays the repair of a chain")
		}
		b.spoil(KernelEvent{What: "both", Objects: []string{"ip -4 rule 10001", "route x"}})
		if !b.repairedWithin(200 * time.Millisecond) {
			t.Error("a fight over a rule delays the repair of a route that went with it")
		}
	})
}

// The table is recreated at once whoever deletes it however often, at most ten times a second; the
// log says so once a minute.
func TestTableGone(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		sleep(time.Second)
		gone := KernelEvent{What: "table inet pbr: 1 table deleted", Objects: []string{"chain pre", "set x"}, TableGone: true}
		b.spoil(gone)
		if !b.repairedWithin(10 * time.Millisecond) {
			t.Error("the table is not recreated at once")
		}
		before, _ := b.kernel.counts()
		for range 300 {
			b.spoil(gone)
			if !b.repairedWithin(110 * time.Millisecond) {
				t.Fatal("the table stays away")
			}
			sleep(10 * time.Millisecond)
		}
		after, _ := b.kernel.counts()
		if n := after - before; n > 305 {
			t.Errorf("made %d times for 300 deletions", n)
		}
		if n := strings.Count(b.log.String(), "somebody else changed"); n != 1 {
			t.Errorf("%d log lines within half a minute", n)
		}
		sleep(goneQuiet)
		b.spoil(gone)
		b.repairedWithin(time.Second)
		if log := b.log.String(); !strings.Contains(log, "tables_made=301") {
			t.Errorf("the log does not say how often:\n%s", log)
		}
		b.spoil(KernelEvent{What: "rule", Objects: []string{"chain pre"}})
		if !b.repairedWithin(200 * time.Millisecond) {
			t.Error("the table's end counts against its chains")
		}
	})
}

// Lists that others' changes interrupt are no failures and delay nothing; nor does a failure delay
// a repair.
func TestInterruptedReads(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.kernel.do(func() { b.kernel.unread = fmt.Errorf("%w: listing addresses", ErrInterrupted) })
		for range 200 {
			b.events <- KernelEvent{Kind: HostChanged}
			sleep(10 * time.Millisecond)
		}
		b.spoil(KernelEvent{What: "rule", Objects: []string{"ip -4 rule 10001"}})
		for range 10 {
			b.events <- KernelEvent{Kind: HostChanged}
		}
		if !b.repairedWithin(300 * time.Millisecond) {
			t.Error("interrupted lists delay a repair")
		}
		if n := b.w.Report().Numbers.Failures; n != 0 || strings.Contains(b.log.String(), "does not hold") {
			t.Errorf("%d failures:\n%s", n, b.log)
		}
		b.kernel.do(func() { b.kernel.unread, b.kernel.fail = nil, errors.New("no such device") })
		b.events <- KernelEvent{Kind: HostChanged}
		sleep(time.Minute)
		b.kernel.do(func() { b.kernel.fail = nil })
		b.spoil(KernelEvent{What: "rule", Objects: []string{"ip -4 rule 10002"}})
		if !b.repairedWithin(200 * time.Millisecond) {
			t.Error("failures of before delay a repair")
		}
	})
}

// TestInterruptedAtStart: where links come up while a watch starts, a list of them that is
// interrupted is made again without a word.
func TestInterruptedAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.kernel.unread, b.kernel.reads = fmt.Errorf("%w: listing interfaces", ErrInterrupted), 1
		b.start()
		defer b.stop()
		sleep(time.Second)
		b.kernel.do(func() {
			if b.kernel.holds == nil || b.kernel.reads < 3 {
				t.Errorf("the policy is not in force after %d looks", b.kernel.reads)
			}
		})
		if log := b.log.String(); strings.Contains(log, "WARN") || strings.Contains(log, "ERROR") {
			t.Errorf("the log says\n%s", log)
		}
	})
}

// After a table was made again, connections that late answers began are looked for when the kernel
// asks for that, and no more when it does not.
func TestLateAnswersAreLookedFor(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.kernel.do(func() { b.kernel.againIn = []time.Duration{time.Second, 3 * time.Second, 0} })
		b.spoil(KernelEvent{What: "table inet pbr", Objects: []string{"chain pre"}, TableGone: true})
		sleep(2 * audit)
		var after []time.Duration
		b.kernel.do(func() {
			for _, at := range b.kernel.sweeps {
				after = append(after, at.Sub(b.kernel.sweeps[0]))
			}
		})
		if want := []time.Duration{0, time.Second, 4 * time.Second}; !slices.Equal(after, want) {
			t.Errorf("looked after %v, not %v", after, want)
		}
		if n := strings.Count(b.log.String(), "late answers"); n != 3 {
			t.Errorf("the log tells %d times:\n%s", n, b.log.String())
		}
	})
}
