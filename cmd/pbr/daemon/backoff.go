package daemon

import "time"

const (
	// repairDelay lets a burst of changes end, so that one repair is for all of them.
	repairDelay = 50 * time.Millisecond
	// freeRepairs are made at once; who goes on is waited for, firstWait at first and twice as long
	// each time, up to maxWait.
	freeRepairs = 3
	firstWait   = time.Second
	maxWait     = time.Minute
	// forgiven is how long nobody must have changed anything for all of it to be forgotten.
	forgiven = 2 * time.Minute
)

// backoff spaces repairs of what somebody else keeps changing, so that two programs do not fight
// for ever. The zero value is ready.
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

// backoffs has the back-off of each object that others changed lately, so that a fight over one
// leaves the repair of all others as quick as ever.
type backoffs map[string]*backoff

// delay is how long the next repair has to wait: as long as the object that waits least.
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

// count notes a repair of objects, and forgets those that nobody touched for long.
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

// worst is the one of objects that was repaired most often.
func (b backoffs) worst(objects []string) *backoff {
	worst := &backoff{}
	for _, o := range objects {
		if known := b[o]; known != nil && known.n > worst.n {
			worst = known
		}
	}
	return worst
}

// goneQuiet is how long a log line about the table's deletion stands for those that follow.
const goneQuiet = time.Minute

// tableGone spaces what is done about a table that others delete as a whole. There is nothing then
// that keeps connections on their uplinks, so it is made anew at once, however often; only the log
// is spared.
type tableGone struct {
	told  time.Time
	times int
}

// count notes that the table was made anew; it returns how often it was since the log last said so,
// 0 if it is not to say so now.
func (g *tableGone) count(now time.Time) (times int) {
	g.times++
	if !g.told.IsZero() && now.Sub(g.told) < goneQuiet {
		return 0
	}
	times, g.times, g.told = g.times, 0, now
	return times
}

// fighting tells that the repairs are being held back.
func (b *backoff) fighting() bool { return b.n > freeRepairs }

func (b *backoff) expire(now time.Time) {
	if b.n > 0 && now.Sub(b.last) > forgiven+min(firstWait<<min(b.n, 10), maxWait) {
		b.n = 0
	}
}
