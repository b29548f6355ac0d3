// Package quota counts what uplinks carry against what they may carry in a month, a week or a day.
// It has no clock and reads nothing: whoever calls it tells the time and what the interfaces
// counted.
package quota

import "time"

// Period is what a quota is for.
type Period string

// The periods.
const (
	Month Period = "month"
	Week  Period = "week"
	Day   Period = "day"
)

// Limit is an uplink's quota.
type Limit struct {
	// Bytes may be received and sent together in a period.
	Bytes uint64
	Per   Period
	// Day is that of a month on which the period begins, 1 to 31 (the last one where the month is
	// shorter); Weekday that of a week.
	Day     int
	Weekday time.Weekday
}

// Begin is when the period began that a time lies in, at midnight where the time is.
func (l Limit) Begin(now time.Time) time.Time {
	year, month, day := now.Date()
	switch l.Per {
	case Day:
		return midnight(now, year, month, day)
	case Week:
		return midnight(now, year, month, day-(int(now.Weekday())-int(l.Weekday)+7)%7)
	}
	if begin := l.inMonth(now, year, month); !begin.After(now) {
		return begin
	}
	return l.inMonth(now, year, month-1)
}

// End is when the period ends that a time lies in, and the next one begins.
func (l Limit) End(now time.Time) time.Time {
	begin := l.Begin(now)
	year, month, day := begin.Date()
	switch l.Per {
	case Day:
		end := midnight(now, year, month, day+1)
		for n := 2; !end.After(now); n++ { // a country that crosses the date line skips a day
			end = midnight(now, year, month, day+n)
		}
		return end
	case Week:
		return midnight(now, year, month, day+7)
	}
	return l.inMonth(now, year, month+1)
}

// inMonth is when the period begins that begins in a month.
func (l Limit) inMonth(now time.Time, year int, month time.Month) time.Time {
	last := time.Date(year, month+1, 0, 12, 0, 0, 0, now.Location()).Day()
	return midnight(now, year, month, min(l.Day, last))
}

// midnight is the first moment of a day: where clocks skip midnight, the one after it.
func midnight(now time.Time, year int, month time.Month, day int) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, now.Location())
	if noon := time.Date(year, month, day, 12, 0, 0, 0, now.Location()); t.Day() != noon.Day() {
		t = t.Add(time.Hour)
	}
	return t
}

// Reading is what an interface counted since it exists.
type Reading struct {
	// Boot and Index tell one life of an interface from another.
	Boot  string `json:"boot"`
	Index int    `json:"index"`
	Bytes uint64 `json:"bytes"`
}

// Count is what an uplink carried in a period. It is kept as JSON.
type Count struct {
	Used uint64 `json:"used"`
	// Extra was granted for this period on top of the limit.
	Extra uint64 `json:"extra,omitempty"`
	// Begin is when the period began, zero before the first reading.
	Begin time.Time `json:"begin,omitzero"`
	// Noted is the time of the last reading.
	Noted time.Time `json:"noted,omitzero"`
	Last  Reading   `json:"last"`
}

// Take takes a reading. An interface that was recreated, or the machine's restart, began to count
// at 0. A clock that is behind the last reading is not set yet: nothing begins again.
func (c *Count) Take(now time.Time, l Limit, r Reading) {
	if !c.Noted.IsZero() {
		c.Used += r.since(c.Last)
	}
	c.Last = r
	c.Roll(now, l)
}

// Roll begins a new period if it is time for one.
func (c *Count) Roll(now time.Time, l Limit) {
	if now.Before(c.Noted) {
		return
	}
	switch begin := l.Begin(now); {
	case c.Begin.IsZero():
		c.Begin = begin
	case begin.After(c.Begin) && begin.After(c.Noted):
		c.Used, c.Extra, c.Begin = 0, 0, begin
	}
	c.Noted = now
}

// since is what was carried since an earlier reading.
func (r Reading) since(last Reading) uint64 {
	if r.Boot != last.Boot || r.Index != last.Index || r.Bytes < last.Bytes {
		return r.Bytes
	}
	return r.Bytes - last.Bytes
}

// Left is what may still be carried, 0 if nothing.
func (c *Count) Left(l Limit) uint64 {
	if may := l.Bytes + c.Extra; may > c.Used {
		return may - c.Used
	}
	return 0
}

// Reset forgets what was carried in this period, and what was granted.
func (c *Count) Reset() { c.Used, c.Extra = 0, 0 }

// Grant adds to what may be carried in this period.
func (c *Count) Grant(bytes uint64) { c.Extra += bytes }

// Resets is when the next period begins.
func (c *Count) Resets(now time.Time, l Limit) time.Time {
	if now.Before(c.Noted) {
		now = c.Noted
	}
	return l.End(now)
}
