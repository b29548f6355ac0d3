package quota

import (
	"encoding/json"
	"testing"
	"time"

	"pbr/integration/steps"
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
		name            string
		limit           Limit
		now, begin, end string
	}{
		{"a month from its first day", Limit{Per: Month, Day: 1}, "2026-11-28 03:00", "2026-11-01 00:00", "2026-12-01 00:00"},
		{"at midnight of the first day", Limit{Per: Month, Day: 1}, "2026-12-01 00:00", "2026-12-01 00:00", "2027-01-01 00:00"},
		{"before the day it begins on", Limit{Per: Month, Day: 15}, "2026-01-14 23:59", "2025-12-15 00:00", "2026-01-15 00:00"},
		{"a month without that day ends on its last", Limit{Per: Month, Day: 31}, "2026-02-27 12:00", "2026-01-31 00:00",
			"2026-02-28 00:00"},
		{"and the next begins there", Limit{Per: Month, Day: 31}, "2026-02-28 12:00", "2026-02-28 00:00", "2026-03-31 00:00"},
		{"a leap year's February", Limit{Per: Month, Day: 31}, "2028-03-01 12:00", "2028-02-29 00:00", "2028-03-31 00:00"},
		{"the day itself", Limit{Per: Month, Day: 30}, "2026-05-30 00:00", "2026-05-30 00:00", "2026-06-30 00:00"},
		{"a Sunday, in weeks from Monday", Limit{Per: Week, Weekday: time.Monday}, "2026-11-29 23:59", "2026-11-23 00:00",
			"2026-11-30 00:00"},
		{"a Sunday, in weeks from Sunday", Limit{Per: Week, Weekday: time.Sunday}, "2026-11-29 00:00", "2026-11-29 00:00",
			"2026-12-06 00:00"},
		{"a day of 23 hours", Limit{Per: Day}, "2026-03-29 12:00", "2026-03-29 00:00", "2026-03-30 00:00"},
		{"a day of 25 hours", Limit{Per: Day}, "2026-10-25 23:30", "2026-10-25 00:00", "2026-10-26 00:00"},
	} {
		t.Run(row.name, func(t *testing.T) {
			now := at(t, "Europe/Berlin", row.now)
			begin, end := row.limit.Begin(now), row.limit.End(now)
			if !begin.Equal(at(t, "Europe/Berlin", row.begin)) || !end.Equal(at(t, "Europe/Berlin", row.end)) {
				t.Errorf("%+v at %s: %v to %v, want %s to %s", row.limit, row.now, begin, end, row.begin, row.end)
			}
		})
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
	take := func(t *testing.T, boot string, index int, bytes, want uint64) {
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
	step := steps.Of(t)
	step.Run("what was before the first reading does not count", func(t *testing.T) {
		take(t, "a", 2, 5000, 0)
	})
	step.Run("what is carried counts once", func(t *testing.T) {
		take(t, "a", 2, 5100, 100)
		take(t, "a", 2, 5100, 100)
	})
	step.Run("an interface that is recreated, or cleared, begins at 0", func(t *testing.T) {
		take(t, "a", 9, 50, 150) // recreated
		take(t, "a", 9, 20, 170) // counters that were cleared
	})
	step.Run("a restart of the machine too, and no more than all can be used", func(t *testing.T) {
		take(t, "b", 9, 900, 1070) // the machine restarted: the same number, and more bytes
		if c.Left(l) != 0 {
			t.Errorf("%d left", c.Left(l))
		}
	})
	step.Run("a grant adds to what is left", func(t *testing.T) {
		c.Grant(500)
		if c.Left(l) != 430 {
			t.Errorf("%d left after a grant", c.Left(l))
		}
	})
	set := now
	step.Run("a clock that is not set yet ends no period", func(t *testing.T) {
		now = time.Unix(0, 0).UTC()
		take(t, "b", 9, 910, 1080)
		if r := c.Resets(now, l); !r.Equal(at(t, "UTC", "2026-12-01 00:00")) {
			t.Errorf("resets %v", r)
		}
	})
	step.Run("a clock that is set counts on", func(t *testing.T) {
		now = set
		take(t, "b", 9, 920, 1090)
	})
	step.Run("a new period has all of it", func(t *testing.T) {
		now = at(t, "UTC", "2026-12-01 00:00")
		take(t, "b", 9, 930, 0)
		if c.Left(l) != 1000 {
			t.Errorf("%d left in a new period", c.Left(l))
		}
	})
	step.Run("a reset gives all of it back", func(t *testing.T) {
		take(t, "b", 9, 940, 10)
		if c.Reset(); c.Left(l) != 1000 {
			t.Errorf("%d left after a reset", c.Left(l))
		}
	})
	step.Run("another day on which periods begin forgets nothing", func(t *testing.T) {
		take(t, "b", 9, 950, 10)
		l.Day = 28
		take(t, "b", 9, 960, 20)
	})
}
