package daemon

import "time"

const (
	// repairDelay lets a burst of changes end, so that one repair is for all of them.
	repairDelay = 50 * time.Millisecond
	// freeRepairs are made at once. Further ones wait: firstWait at first, twice as long each time,
	// up to maxWait.
	freeRepairs = 3
	firstWait   = time.Second
	maxWait     = time.Minute
	// forgiven is how long nobody must have changed anything until all of it is forgotten.
	forgiven = 2 * time.Minute
)

// backoff spaces repairs of an object that somebody else keeps changing, so that two programs do
// not fight for ever. The zero value is ready.
type backoff struct {
	n    int
	last time.Time
}

// delay returns how long the next repair, or retry, has to wait.
func (b *backoff) delay(now time.Time) time.Duration {
	b.expire(now)
	if b.n < freeRepairs {
		return repairDelay
	}
	return min(firstWait<<min(b.n-freeRepairs, 10), maxWait)
}

// count records a repair.
func (b *backoff) count(now time.Time) {
	b.expire(now)
	b.n++
	b.last = now
}

// backoffs has the backoff of each object that others changed recently, so that a fight over one
// does not slow down repairs of the others.
type backoffs map[string]*backoff

// delay returns how long the next repair has to wait: the shortest wait of the objects.
func (b backoffs) delay(now time.Time, objects []string) time.Duration {
	least := time.Duration(-1)
	for _, o := range objects {
		d := repairDelay
		if known := b[o]; known != nil {
			d = known.delay(now)
		}
		if least < 0 || d < least {
			least = d
		}
	}
	return max(least, 0)
}

// count records a repair of objects, and forgets those that nobody touched for long.
func (b backoffs) count(now time.Time, objects []string) {
	for o, known := range b {
		if known.expire(now); known.n == 0 {
			delete(b, o)
		}
	}
	for _, o := range objects {
		if b[o] == nil {
			b[o] = &backoff{}
		}
		b[o].count(now)
	}
}

// worst returns the count of the object that was repaired most often.
func (b backoffs) worst(objects []string) *backoff {
	worst := &backoff{}
	for _, o := range objects {
		if known := b[o]; known != nil && known.n > worst.n {
			worst = known
		}
	}
	return worst
}

// goneQuiet is the time after a log line about the table's deletion in which further deletions are
// not logged.
const goneQuiet = time.Minute

// tableGone counts deletions of the whole table by others. Without the table nothing keeps
// connections on their uplinks, so it is recreated at once, however often; only the log is limited.
type tableGone struct {
	told  time.Time
	times int
}

// count records that the table was recreated. It returns how often that happened since the log last
// reported it; 0 if it must not be logged now.
func (g *tableGone) count(now time.Time) (times int) {
	g.times++
	if !g.told.IsZero() && now.Sub(g.told) < goneQuiet {
		return 0
	}
	times, g.times, g.told = g.times, 0, now
	return times
}

// fighting reports whether repairs are being held back.
func (b *backoff) fighting() bool { return b.n > freeRepairs }

func (b *backoff) expire(now time.Time) {
	if b.n > 0 && now.Sub(b.last) > forgiven+min(firstWait<<min(b.n, 10), maxWait) {
		b.n = 0
	}
}
