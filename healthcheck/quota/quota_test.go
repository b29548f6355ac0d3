package quota

import (
	"encoding/json"
	"testing"
	"time"
)

func at(t *testing.T, zone, text string) time.Time {
	t.Helper()
	l, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	when, err := time.ParseInLocation("2006-01-02 15:04", text, l)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestPeriods(t *testing.T) {
	for _, row := range []struct {
		limit           Limit
		now, begin, end string
	}{
		{Limit{Per: Month, Day: 1}, "2026-11-28 03:00", "2026-11-01 00:00", "2026-12-01 00:00"},
		{Limit{Per: Month, Day: 1}, "2026-12-01 00:00", "2026-12-01 00:00", "2027-01-01 00:00"},
		{Limit{Per: Month, Day: 15}, "2026-01-14 23:59", "2025-12-15 00:00", "2026-01-15 00:00"},
		{Limit{Per: Month, Day: 31}, "2026-02-27 12:00", "2026-01-31 00:00", "2026-02-28 00:00"},
		{Limit{Per: Month, Day: 31}, "2026-02-28 12:00", "2026-02-28 00:00", "2026-03-31 00:00"},
		{Limit{Per: Month, Day: 31}, "2028-03-01 12:00", "2028-02-29 00:00", "2028-03-31 00:00"},
		{Limit{Per: Month, Day: 30}, "2026-05-30 00:00", "2026-05-30 00:00", "2026-06-30 00:00"},
		{Limit{Per: Week, Weekday: time.Monday}, "2026-11-29 23:59", "2026-11-23 00:00", "2026-11-30 00:00"}, // a Sunday
		{Limit{Per: Week, Weekday: time.Sunday}, "2026-11-29 00:00", "2026-11-29 00:00", "2026-12-06 00:00"},
		{Limit{Per: Day}, "2026-03-29 12:00", "2026-03-29 00:00", "2026-03-30 00:00"}, // of 23 hours
		{Limit{Per: Day}, "2026-10-25 23:30", "2026-10-25 00:00", "2026-10-26 00:00"}, // of 25 hours
	} {
		now := at(t, "Europe/Berlin", row.now)
		begin, end := row.limit.Begin(now), row.limit.End(now)
		if !begin.Equal(at(t, "Europe/Berlin", row.begin)) || !end.Equal(at(t, "Europe/Berlin", row.end)) {
			t.Errorf("%+v at %s: %v to %v, want %s to %s", row.limit, row.now, begin, end, row.begin, row.end)
		}
	}
}

// Every moment lies in a period, and periods follow each other without gaps, in zones of all kinds.
func TestPeriodsHaveNoGaps(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia"} {
		t.Run(zone, func(t *testing.T) {
			for _, l := range []Limit{{Per: Month, Day: 31}, {Per: Month, Day: 1}, {Per: Week, Weekday: time.Saturday}, {Per: Day}} {
				last := time.Time{}
				for now := at(t, zone, "2010-01-01 00:30"); now.Year() < 2013; now = now.Add(7 * time.Hour) {
					begin, end := l.Begin(now), l.End(now)
					if begin.After(now) || !end.After(now) || !last.IsZero() && begin.After(last) && !begin.Equal(last) {
						t.Fatalf("%s, %+v at %v: %v to %v after one that ended %v", zone, l, now, begin, end, last)
					}
					last = end
				}
			}
		})
	}
}

func TestCount(t *testing.T) {
	l := Limit{Bytes: 1000, Per: Month, Day: 1}
	now := at(t, "UTC", "2026-11-28 00:00")
	var c Count
	take := func(boot string, index int, bytes, want uint64) {
		t.Helper()
		now = now.Add(time.Second)
		c.Take(now, l, Reading{boot, index, bytes})
		b, err := json.Marshal(c) // as a restart would
		if err != nil {
			t.Fatal(err)
		}
		c = Count{}
		if err := json.Unmarshal(b, &c); err != nil || c.Used != want {
			t.Errorf("used %d, %v; want %d", c.Used, err, want)
		}
	}
	take("a", 2, 5000, 0) // what was before the first reading does not count
	take("a", 2, 5100, 100)
	take("a", 2, 5100, 100)
	take("a", 9, 50, 150)   // recreated
	take("a", 9, 20, 170)   // counters that were cleared
	take("b", 9, 900, 1070) // the machine restarted: the same number, and more bytes
	if c.Left(l) != 0 {
		t.Errorf("%d left", c.Left(l))
	}
	c.Grant(500)
	if c.Left(l) != 430 {
		t.Errorf("%d left after a grant", c.Left(l))
	}
	// A clock that is not set yet.
	set := now
	now = time.Unix(0, 0).UTC()
	take("b", 9, 910, 1080)
	if r := c.Resets(now, l); !r.Equal(at(t, "UTC", "2026-12-01 00:00")) {
		t.Errorf("resets %v", r)
	}
	now = set
	take("b", 9, 920, 1090)
	now = at(t, "UTC", "2026-12-01 00:00")
	take("b", 9, 930, 0)
	if c.Left(l) != 1000 {
		t.Errorf("%d left in a new period", c.Left(l))
	}
	take("b", 9, 940, 10)
	if c.Reset(); c.Left(l) != 1000 {
		t.Errorf("%d left after a reset", c.Left(l))
	}
	// The day on which periods begin was changed to an earlier one: what was carried counts on.
	take("b", 9, 950, 10)
	l.Day = 28
	take("b", 9, 960, 20)
}
