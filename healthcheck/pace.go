package healthcheck

import (
	"context"
	"time"
)

// pace is when a monitor's rounds begin.
type pace struct {
	// began is what slots are counted from.
	began time.Time
	woken chan struct{}
}

func newPace() *pace { return &pace{began: time.Now(), woken: make(chan struct{}, 1)} }

// roundSlot is how far apart rounds of different uplinks begin, if they do not begin together: each
// waking costs more than a probe.
const roundSlot = 20 * time.Millisecond

// slot is the next time at or after t when rounds begin. Frequent ones begin when they are due.
func (p *pace) slot(t time.Time, interval time.Duration) time.Time {
	if interval < 10*roundSlot {
		return t
	}
	if late := t.Sub(p.began) % roundSlot; late > 0 {
		t = t.Add(roundSlot - late)
	}
	return t
}

// wake makes run have a turn at once.
func (p *pace) wake() { poke(p.woken) }

// run has turns, each when the one before said, until ctx ends.
func (p *pace) run(ctx context.Context, turn func() (next time.Time)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if at := turn(); at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-p.woken:
		}
	}
}
