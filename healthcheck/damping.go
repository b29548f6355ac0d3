package healthcheck

import "time"

// Flap damping: an uplink that ceases to be usable again and again waits before it may be up again.
// The first time costs nothing; the n-th time after that (n = 1, 2, ...) costs up-after rounds ×
// 2^n, counted from the moment it ceased to be usable.
const (
	// maxHold bounds the wait.
	maxHold = 5 * time.Minute
	// flapMemory is how long no change must happen for earlier flaps to be forgotten.
	flapMemory = 10 * time.Minute
)

// damping counts the flaps of one uplink.
type damping struct {
	flaps int
	// changed is the last time the uplink became usable or ceased to be, until the time before
	// which it may not be up again.
	changed, until time.Time
}

// forget drops flaps that are long ago.
func (d *damping) forget(now time.Time) {
	if d.flaps > 0 && now.Sub(d.changed) >= flapMemory {
		d.flaps = 0
	}
}

// lost notes that the uplink ceased to be usable.
func (d *damping) lost(now time.Time, c Config) {
	d.forget(now)
	d.flaps++
	d.changed = now
	d.until = now.Add(hold(d.flaps, c))
}

// regained notes that the uplink became usable.
func (d *damping) regained(now time.Time) {
	d.forget(now)
	d.changed = now
}

func (d *damping) held(now time.Time) bool { return now.Before(d.until) }

// hold returns how long an uplink waits after it ceased to be usable for the n-th time.
func hold(n int, c Config) time.Duration {
	if n < 2 {
		return 0
	}
	h := time.Duration(c.UpAfter) * c.Interval
	for range n - 1 {
		if h >= maxHold {
			break
		}
		h *= 2
	}
	return min(h, maxHold)
}
