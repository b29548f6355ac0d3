package healthcheck

import (
	"testing"
	"time"
)

// TestSlots: rounds that are due close to each other begin together, never early, and never later
// than a slot, which is wider for rounds that come less often; those that come often begin when
// they are due.
func TestSlots(t *testing.T) {
	for interval, slot := range map[time.Duration]time.Duration{
		100 * time.Millisecond: 0,
		200 * time.Millisecond: roundSlot,
		999 * time.Millisecond: roundSlot,
		time.Second:            wideRoundSlot,
		time.Hour:              wideRoundSlot,
	} {
		m := newPace()
		begins := map[time.Time]bool{}
		for i := range 200 {
			due := m.began.Add(time.Duration(i) * maxJitter / 200)
			at := m.slot(due, interval)
			if late := at.Sub(due); late < 0 || late > max(0, slot-1) {
				t.Fatalf("a round each %v that is due after %v begins %v later", interval, due.Sub(m.began), late)
			}
			if again := m.slot(at, interval); again != at {
				t.Fatalf("a slot is not one: %v, then %v", at.Sub(m.began), again.Sub(m.began))
			}
			begins[at] = true
		}
		if n := len(begins); slot > 0 && n > int(maxJitter/slot)+1 {
			t.Errorf("rounds of 200 uplinks each %v begin at %d times", interval, n)
		}
	}
}

// A late slot would make an interval another: those that are a multiple of their slot keep it.
func TestSlotsKeepIntervals(t *testing.T) {
	for _, interval := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second, 10 * time.Second} {
		m := newPace()
		at := m.slot(m.began.Add(7*time.Millisecond), interval)
		if next := m.slot(at.Add(interval), interval); next.Sub(at) != interval {
			t.Errorf("a round each %v comes again after %v", interval, next.Sub(at))
		}
	}
}
