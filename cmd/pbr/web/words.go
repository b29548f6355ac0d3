//go:build !small

package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"pbr/compiler/explain"
	"pbr/healthcheck"
	"pbr/healthcheck/history"
	"pbr/kernel/doctor"
)

// functions are those of the templates.
var functions = template.FuncMap{
	"span": span, "ms": ms, "percent": percent, "size": size, "decimal": decimal, "clock": clock, "count": count,
	"known": func(t time.Time) bool { return !t.IsZero() },
	"tone":  tone, "sub": func(a, b uint64) uint64 { return a - b },
	"since": func(now, t time.Time) string { return span(now.Sub(t)) },
	"left":  func(t, now time.Time) string { return span(t.Sub(now)) },
	"join":  strings.Join,
	"entry": func(at, name, href, text string) menuEntry { return menuEntry{href, text, at == name} },
	// with_data gives a part of a page what it is of.
	"with_data": func(p page, data any) page { p.Data = data; return p },
	"newest": func(list []history.Mark) []history.Mark {
		list = slices.Clone(list)
		slices.Reverse(list)
		return list
	},
	"stateTone": func(s healthcheck.State) string { return tone(string(s), s.Usable(), s.Failed()) },
	"levelTone": func(l doctor.Level) string {
		return map[doctor.Level]string{doctor.OK: "good", doctor.Warn: "warn", doctor.Fail: "bad"}[l]
	},
	"storyTone": func(t explain.Tone) string {
		return map[explain.Tone]string{explain.Good: "good", explain.Bad: "bad"}[t]
	},
	"command": command,
}

// span is a duration in its two largest units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
}

func ms(d time.Duration) string {
	if d <= 0 {
		return "–"
	}
	v := float64(d) / float64(time.Millisecond)
	if v < 0.1 {
		return fmt.Sprintf("%d µs", d/time.Microsecond)
	}
	if v < 10 {
		return fmt.Sprintf("%.1f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}

func percent(share float64) string {
	if share < 0 || math.IsNaN(share) {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

// size is a number of bytes.
func size(n uint64) string { return scaled(float64(n), 1024, "B", "KiB", "MiB", "GiB", "TiB", "PiB") }

// decimal is a number of bytes as quotas are sold.
func decimal(n uint64) string { return scaled(float64(n), 1000, "B", "kB", "MB", "GB", "TB", "PB") }

// rate is bits a second.
func rate(bits float64) string {
	return scaled(bits, 1000, "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s")
}

func scaled(v, step float64, units ...string) string {
	at := 0
	for v >= step && at < len(units)-1 {
		v, at = v/step, at+1
	}
	if at == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[at])
	}
	return strconv.FormatFloat(math.Round(10*v)/10, 'f', -1, 64) + " " + units[at]
}

// clock is a time of today, or a day with its time.
func clock(now, t time.Time) string {
	t = t.In(now.Location())
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04:05")
	}
	return t.Format("2 Jan 15:04:05")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// tone is the class of a state: how good it is.
func tone(state string, usable, failed bool) string {
	switch {
	case state == "absent" || state == "standby" || state == "unchecked":
		return "idle"
	case !usable:
		return "bad"
	case failed || state == "mixed" || state == "start":
		return "warn"
	}
	return "good"
}

// menuEntry is an entry of the menu.
type menuEntry struct {
	Href, Name string
	Here       bool
}

// command is the first thing to do of several: what comes before a comma or a blank with "or".
func command(do string) string {
	for _, end := range []string{", or ", "; "} {
		do, _, _ = strings.Cut(do, end)
	}
	return do
}
