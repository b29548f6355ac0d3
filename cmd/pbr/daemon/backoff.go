package daemon

import "time"

const (
	// repairDelay lets a burst of changes end, so that one repair is for all of them.
	repairDelay = 50 * time.Millisecond
	// freeRepairs are made at once; who goes on is waited for, firstWait at first and twice as long each time, up to maxWait.
	freeRepairs = 3
	firstWait   = time.Second
	maxWait     = time.Minute
	// forgiven is how long nobody must have changed anything for all of it to be forgotten.
	forgiven = 2 * time.Minute
)

// backoff spaces repairs of what somebody else keeps changing, so that two programs do not fight for ever. The zero value is ready.
type backoff struct {
	n    int
	last time.Time
}

// delay is how long the next repair, or retry, has to wait.
func (b *backoff) delay(now time.Time) time.Duration {
	b.expire(now)
	if b.n < freeRepairs {
		return repairDelay
	}
	return min(firstWait<<min(b.n-freeRepairs, 10), maxWait)
}

// count notes a repair.
func (b *backoff) count(now time.Time) {
	b.expire(now)
	b.n++
	b.last = now
}

// fighting tells that the repairs are being held back.
func (b *backoff) fighting() bool { return b.n > freeRepairs }

func (b *backoff) expire(now time.Time) {
	if b.n > 0 && now.Sub(b.last) > forgiven+min(firstWait<<min(b.n, 10), maxWait) {
		b.n = 0
	}
}
