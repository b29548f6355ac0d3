package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads "500ms", "1s", "5m", "2h", "1d", and joined forms as "1h30m".
func parseDuration(v string) (time.Duration, *fault) {
	hint := `write a number and its unit, as in "500ms", "1s", "5m", "2h", "1d"`
	if days, rest, ok := strings.Cut(v, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, badValue(hint, "invalid time %q", v)
		}
		d := time.Duration(n) * 24 * time.Hour
		if rest == "" {
			return d, nil
		}
		more, f := parseDuration(rest)
		return d + more, f
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return 0, badValue(hint, "invalid time %q", v)
	}
	return d, nil
}

// ShowDuration prints a duration as the file would write it.
func ShowDuration(d time.Duration) string {
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

const (
	everyDay   = 0x7f
	dayMinutes = 24 * 60
)

// parseSchedule reads "mon-fri 08:00-18:00", "sat,sun" or "22:00-06:00". A span over midnight
// becomes two items, the second on the following days.
func parseSchedule(v string) ([]ScheduleItem, *fault) {
	hint := `write days, hours, or both: "mon-fri 08:00-18:00", "sat,sun", "22:00-06:00"`
	item := ScheduleItem{Days: everyDay, To: dayMinutes}
	words := strings.Fields(v)
	if len(words) == 0 || len(words) > 2 {
		return nil, badValue(hint, "invalid schedule %q", v)
	}
	if !strings.Contains(words[0], ":") {
		days, ok := parseDays(words[0])
		if !ok {
			return nil, badValue(hint, "invalid days %q", words[0])
		}
		item.Days = days
		words = words[1:]
	}
	if len(words) == 0 {
		return []ScheduleItem{item}, nil
	}
	from, to, ok := strings.Cut(words[0], "-")
	var okFrom, okTo bool
	item.From, okFrom = parseClock(from)
	item.To, okTo = parseClock(to)
	if len(words) > 1 || !ok || !okFrom || !okTo || item.From == item.To || item.From == dayMinutes {
		return nil, badValue(hint, "invalid hours %q", strings.Join(words, " "))
	}
	return item.overMidnight(), nil
}

// parseDays reads "mon-fri", "sat,sun" and mixtures; "fri-mon" goes over the week's end.
func parseDays(v string) (days uint8, ok bool) {
	for part := range strings.SplitSeq(strings.ToLower(v), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := weekday(first), weekday(last)
		if from < 0 || to < 0 {
			return 0, false
		}
		for d := from; ; d = (d + 1) % 7 {
			days |= 1 << d
			if d == to {
				break
			}
		}
	}
	return days, true
}

// weekday returns 0 for "sun" or "sunday" to 6; -1 for none.
func weekday(v string) int {
	for i, d := range weekdays {
		if v == d || strings.HasPrefix(v, d) && strings.HasSuffix(v, "day") && len(v) <= len("wednesday") {
			return i
		}
	}
	return -1
}

// parseClock reads "08:00" as minutes; "24:00" is the day's end.
func parseClock(v string) (int, bool) {
	hour, minute, ok := strings.Cut(v, ":")
	h, err1 := strconv.ParseUint(hour, 10, 8)
	m, err2 := strconv.ParseUint(minute, 10, 8)
	if !ok || err1 != nil || err2 != nil || len(minute) != 2 || h > 24 || m > 59 || h == 24 && m != 0 {
		return 0, false
	}
	return int(h*60 + m), true
}

// Weekday returns the day of a name as "mon" or "monday".
func Weekday(v string) (time.Weekday, bool) {
	d := weekday(strings.ToLower(v))
	return time.Weekday(max(d, 0)), d >= 0
}
