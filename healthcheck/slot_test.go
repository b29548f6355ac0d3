package healthcheck

import (
	"testing"
	"time"
)

// TestSlots: rounds that are due close to each other begin together, never early, and never later
// than a slot; those that come often begin when they are due.
func TestSlots(t *testing.T) {
	m := newPace()
	begins := map[time.Time]bool{}
	for i := range 200 {
		due := m.began.Add(time.Duration(i) * maxJitter / 200)
		at := m.slot(due, time.Second)
		if late := at.Sub(due); late < 0 || late >= roundSlot {
			t.Fatalf("a round that is due after %v begins %v later", due.Sub(m.began), late)
		}
		if again := m.slot(at, time.Second); again != at {
			t.Fatalf("a slot is not one: %v, then %v", at.Sub(m.began), again.Sub(m.began))
		}
		begins[at] = true
		if often := m.slot(due, 100*time.Millisecond); often != due {
			t.Errorf("a round each 100 ms begins %v late", often.Sub(due))
		}
	}
	if n := len(begins); n > int(maxJitter/roundSlot)+1 {
		t.Errorf("rounds of 200 uplinks begin at %d times", n)
	}
}
