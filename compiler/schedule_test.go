package compiler

import (
	"net/netip"
	"testing"
	"testing/fstest"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	packets "pbr/compiler/walk"
)

// scheduled is a policy file with one schedule.
func scheduled(t *testing.T, schedule, rest string) *policy.Document {
	t.Helper()
	text := "[[uplink]]\nname = \"isp1\"\ninterface = \"eth1\"\n[[policy]]\nname = \"p\"\nschedule = " + schedule + "\n" + rest
	doc, ds := policy.ParseWith(fstest.MapFS{"p": {Data: []byte(text)}}, "p", "p", policy.Options{ErrorsOnly: true})
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	return doc
}

const toIsp1 = "uplink = \"isp1\"\n"

// The windows are what a clock on the wall shows, minute by minute, in zones whose clocks change at
// different hours, forwards and back, by an hour and by half.
func TestWindowsAreTheClockOnTheWall(t *testing.T) {
	schedules := []string{
		`"mon-fri 08:00-18:00"`, `"22:00-06:00"`, `"sat,sun"`, `"sun 01:30-02:30"`, `["sat 23:30-00:30", "02:00-03:00"]`,
		`{ days = ["fri-mon"], from = "23:00", to = "24:00" }`, `{ from = "02:15" }`,
	}
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"} {
		t.Run(name, func(t *testing.T) {
			zone, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, schedule := range schedules {
				p := &scheduled(t, schedule, toIsp1).Policies[0]
				from, to := horizon(time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC))
				list := windows(p.Schedule, zone, from, to)
				i := 0
				for at := from; at.Before(to); at = at.Add(15 * time.Minute) {
					for i < len(list) && list[i].to <= at.Unix() {
						i++
					}
					got := i < len(list) && list[i].from <= at.Unix()
					want := false
					for j := range p.Schedule {
						want = want || p.Schedule[j].Holds(at, zone)
					}
					if got != want {
						t.Fatalf("%s in %s: at %s in a window: %v, by the clock: %v", schedule, name, at.In(zone), got, want)
					}
				}
			}
		})
	}
}

// The windows of a day on which the clock changes, by hand.
func TestWindowsOverClockChanges(t *testing.T) {
	berlin, _ := time.LoadLocation("Europe/Berlin")
	york, _ := time.LoadLocation("America/New_York")
	howe, _ := time.LoadLocation("Australia/Lord_Howe")
	for _, row := range []struct {
		name     string
		schedule string
		zone     *time.Location
		day      string
		want     []string // UTC, from and to in turn
	}{
		// Nine hours of a night in which an hour is missing, ten of one that has it twice.
		{"an hour of the night is missing", `"22:00-08:00"`, berlin, "2026-03-28", []string{"2026-03-28 21:00", "2026-03-29 06:00"}},
		{"an hour of the night comes twice", `"22:00-08:00"`, berlin, "2026-10-24", []string{"2026-10-24 20:00", "2026-10-25 07:00"}},
		{"a beginning that does not exist", `"sun 02:30-04:00"`, berlin, "2026-03-28", []string{"2026-03-29 01:00", "2026-03-29 02:00"}},
		{"an end that comes twice", `"sun 01:00-02:30"`, berlin, "2026-10-24",
			[]string{"2026-10-24 23:00", "2026-10-25 00:30", "2026-10-25 01:00",
				"2026-10-25 01:30"}},
		{"the days around a change", `"08:00-18:00"`, york, "2026-03-07",
			[]string{"2026-03-07 13:00", "2026-03-07 23:00", "2026-03-08 12:00", "2026-03-08 22:00"}},
		{"a schedule at midnight of the change", `"00:00-03:00"`, york, "2026-10-31",
			[]string{"2026-10-31 04:00", "2026-10-31 07:00", "2026-11-01 04:00", "2026-11-01 08:00"}},
		{"a change of half an hour", `"sun 01:00-03:00"`, howe, "2026-04-04", []string{"2026-04-04 14:00", "2026-04-04 16:30"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var want []window
			for i := 0; i < len(row.want); i += 2 {
				a, _ := time.Parse("2006-01-02 15:04", row.want[i])
				b, _ := time.Parse("2006-01-02 15:04", row.want[i+1])
				want = append(want, window{a.Unix(), b.Unix()})
			}
			day, _ := time.ParseInLocation("2006-01-02", row.day, row.zone)
			got := windows(scheduled(t, row.schedule, toIsp1).Policies[0].Schedule, row.zone, day, day.AddDate(0, 0, 2))
			for len(got) > 0 && got[0].from < want[0].from {
				got = got[1:]
			}
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Errorf("%s in %s on %s: %v, wanted %v", row.schedule, row.zone, row.day, got, want)
					break
				}
			}
		})
	}
}

// Plans of one month are the same, and reach a year ahead at any time of it.
func TestSchedulesReachAYear(t *testing.T) {
	doc := scheduled(t, `"08:00-18:00"`, toIsp1)
	first := windowsOf(t, doc, plan.HostFacts{Now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)})
	last := windowsOf(t, doc, plan.HostFacts{Now: time.Date(2026, 3, 31, 23, 59, 59, 0, time.UTC)})
	t.Run("plans of one month are the same", func(t *testing.T) {
		if len(first) != len(last) || len(first) < 365 || first[0] != last[0] {
			t.Errorf("%d and %d windows", len(first), len(last))
		}
	})
	t.Run("they reach a year ahead", func(t *testing.T) {
		if end := first[len(first)-1].To.Seconds(); end < uint64(time.Date(2027, 3, 31, 18, 0, 0, 0, time.UTC).Unix()) {
			t.Errorf("the windows end at %d", end)
		}
	})
}

func windowsOf(t *testing.T, doc *policy.Document, host plan.HostFacts) []plan.Element {
	t.Helper()
	p, ds := Compile(doc, host, nil)
	if p == nil {
		t.Fatal(ds)
	}
	for _, s := range p.Ruleset.Sets {
		if s.Type == plan.TypeTime {
			return s.Elements
		}
	}
	t.Fatal("no set of times")
	return nil
}

// While nobody knows the time, what lets nothing else through is in force, and the rest is not.
func TestClockBehind(t *testing.T) {
	host := plan.HostFacts{Now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), ClockBehind: true}
	for rest, want := range map[string]bool{toIsp1: false, toIsp1 + "strict = true\n": true, "action = \"drop\"\n": true} {
		t.Run(rest, func(t *testing.T) {
			p, ds := Compile(scheduled(t, `"08:00-18:00"`, rest), host, nil)
			if p == nil {
				t.Fatal(ds)
			}
			router, err := packets.NewRouter(p, &packets.Facts{})
			if err != nil {
				t.Fatal(err)
			}
			frame := packets.Packet{IIF: "lan", Src: netip.MustParseAddr("10.0.0.1"),
				Dst: netip.MustParseAddr("9.9.9.9"), Proto: 6, Time: time.Date(1970, 1, 1, 3, 0, 0, 0, time.UTC)}
			counted := len(router.First(&frame)[0].Counters) > 0
			if counted != want {
				t.Errorf("%q in force: %v", rest, counted)
			}
		})
	}
}
