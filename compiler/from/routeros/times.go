package routeros

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// weekdays are RouterOS's names of days, which are pbr's.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// times makes a schedule of time=8h-18h30m,mon,tue.
func (m *matcher) times(not bool, text string) {
	schedule, ok := scheduleOf(text)
	if not || !ok {
		m.unknownKey("no schedule says time=%s", text)
		return
	}
	if schedule != "" {
		m.add(keyTime, &sel{pos: []string{schedule}})
	}
}

// scheduleOf is the short form of a schedule; empty if it holds always.
func scheduleOf(text string) (schedule string, ok bool) {
	var days []string
	hours := "00:00-24:00"
	for i, part := range commas(text) {
		switch from, to, span := strings.Cut(part, "-"); {
		case slices.Contains(weekdays, part):
			days = append(days, part)
		case span && i == 0:
			a, ok1 := minuteOf(from)
			b, ok2 := minuteOf(to)
			if !ok1 || !ok2 || a == b || a == fullDay {
				return "", false
			}
			hours = fmt.Sprintf("%02d:%02d-%02d:%02d", a/60, a%60, b/60, b%60)
		default:
			return "", false
		}
	}
	every := len(days) == 0 || len(days) == len(weekdays)
	from, to, _ := strings.Cut(hours, "-")
	switch {
	case every && hours == "00:00-24:00":
		return "", true
	case every:
		return hours, true
	case to < from: // whether the days are those of its start or of its end is nothing that RouterOS says
		return "", false
	}
	return strings.Join(days, ",") + " " + hours, true
}

const fullDay = 24 * 60

// minuteOf reads a time of the day: 8h30m, 1d, or 08:30:00. The last second of a day is its end.
func minuteOf(text string) (minute int, ok bool) {
	if text == "1d" || text == "24h" || text == "23h59m59s" || text == "23:59:59" {
		return fullDay, true
	}
	if at, err := time.Parse(time.TimeOnly, text); err == nil {
		return at.Hour()*60 + at.Minute(), at.Second() == 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d >= 24*time.Hour || d%time.Minute != 0 {
		return 0, false
	}
	return int(d / time.Minute), true
}
