package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/state"
)

// clockFile, in the state directory, stores the time of the last apply of a policy with schedules:
// a machine without a clock battery starts with a time in the past.
const clockFile = "clock.json"

type clockState struct {
	Applied time.Time `json:"applied"`
}

// readClock fills in what schedules need. While the clock is behind the time of the last apply,
// that time counts. Now is the start of its month, which is all that a plan depends on.
func (k *Kernel) readClock(m *plan.HostFacts) {
	now, behind := k.Clock()
	y, month, _ := now.UTC().Date()
	m.Now, m.Zone, m.ClockBehind = time.Date(y, month, 1, 0, 0, 0, 0, time.UTC), LocalZone(), behind
}

// Clock returns the time by which schedules are computed, and whether the system clock is behind,
// that is, before the last apply.
func (k *Kernel) Clock() (now time.Time, behind bool) {
	now = time.Now()
	var last clockState
	if err := state.Find(k.Dir()).Load(clockFile, &last); err == nil && now.Before(last.Applied) {
		return last.Applied, true
	}
	return now, false
}

// noteClock records that a plan with schedules was applied now.
func (k *Kernel) noteClock(p *plan.Plan) error {
	if !slices.ContainsFunc(p.Ruleset.Sets, func(s plan.Set) bool { return s.Type == plan.TypeTime }) {
		return nil
	}
	return k.NoteClock()
}

// NoteClock notes that a plan with schedules is in force now.
func (k *Kernel) NoteClock() error {
	now, behind := k.Clock()
	if behind {
		return nil
	}
	return state.Find(k.Dir()).Save(clockFile, clockState{now})
}

// forgetClock deletes the time of the last apply.
func (k *Kernel) forgetClock() error { return state.Find(k.Dir()).Remove(clockFile) }

// LocalZone returns the system's time zone: that of $TZ, /etc/localtime, or /etc/TZ (OpenWrt); UTC
// if there is none.
func LocalZone() *time.Location {
	if name, set := os.LookupEnv("TZ"); set {
		return zoneNamed(strings.TrimPrefix(name, ":"))
	}
	if data, err := os.ReadFile("/etc/localtime"); err == nil {
		if loc, err := time.LoadLocationFromTZData(zoneName(), data); err == nil {
			return loc
		}
	}
	if rule, err := os.ReadFile("/etc/TZ"); err == nil {
		return zoneNamed(strings.TrimSpace(string(rule)))
	}
	return time.UTC
}

// zoneName returns the name of the file that /etc/localtime points to.
func zoneName() string {
	to, err := os.Readlink("/etc/localtime")
	if _, name, ok := strings.Cut(to, "zoneinfo/"); err == nil && ok {
		return name
	}
	return "local time"
}

// zoneNamed returns the zone of a name, a file, or a POSIX rule ("CET-1CEST,M3.5.0,M10.5.0/3");
// otherwise UTC.
func zoneNamed(name string) *time.Location {
	if data, err := os.ReadFile(name); err == nil && strings.HasPrefix(name, "/") {
		if loc, err := time.LoadLocationFromTZData(name, data); err == nil {
			return loc
		}
	}
	if loc, err := time.LoadLocation(name); err == nil {
		return loc
	}
	if loc, err := time.LoadLocationFromTZData(name, ruleData(name)); err == nil {
		return loc
	}
	return time.UTC
}

// ruleData returns a zone file (RFC 9636) that has only a rule.
func ruleData(rule string) []byte {
	var b bytes.Buffer
	for range 2 { // -- the part for old readers, then version 2
		b.WriteString("TZif2")
		b.Write(make([]byte, 15))
		for _, n := range []uint32{0, 0, 0, 0, 1, 4} { // one type of local time, and the letters of its name
			b.Write(binary.BigEndian.AppendUint32(nil, n))
		}
		b.Write(make([]byte, 6))
		b.WriteString("UTC\x00")
	}
	fmt.Fprintf(&b, "\n%s\n", rule)
	return b.Bytes()
}

// ClockNote returns a message for users that the system clock is behind; empty if it is not.
func (k *Kernel) ClockNote() string {
	last, behind := k.Clock()
	if !behind {
		return ""
	}
	return "the system clock is behind the last apply (" + last.Local().Format("2006-01-02 15:04") +
		"): strict policies and actions with a schedule count as in force until it is right"
}
