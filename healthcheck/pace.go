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

// Rounds of different uplinks begin together, or a slot apart: each waking costs more than a probe.
// The slots of rounds that come each second or less often are wide.
const (
	roundSlot     = 20 * time.Millisecond
	wideRoundSlot = 50 * time.Millisecond
)

// slotOf returns how far apart rounds begin that come with an interval; 0 if they begin when they
// are due, as frequent ones do.
func slotOf(interval time.Duration) time.Duration {
	switch {
	case interval < 10*roundSlot:
		return 0
	case interval < 20*wideRoundSlot:
		return roundSlot
	}
	return wideRoundSlot
}

// slot returns the next time at or after t when rounds begin.
func (p *pace) slot(t time.Time, interval time.Duration) time.Time {
	slot := slotOf(interval)
	if slot == 0 {
		return t
	}
	if late := t.Sub(p.began) % slot; late > 0 {
		t = t.Add(slot - late)
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
