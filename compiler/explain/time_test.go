package explain_test

import (
	"net/netip"
	"testing"
	"testing/fstest"
	"time"

	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

const officeHours = twoUplinks + `
[[policy]]
name = "office"
src = "192.168.10.11"
schedule = "mon-fri 08:00-18:00"
action = "unreachable"
`

// A packet comes when the question says, by the zone's clock, in any year; without that, and one of
// a connection, now.
func TestTimes(t *testing.T) {
	doc, ds := policy.ParseWith(fstest.MapFS{"pbr.toml": {Data: []byte(officeHours)}}, "pbr.toml", "pbr.toml",
		policy.Options{ErrorsOnly: true})
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil || ds.HasErrors() {
		t.Fatal(err, ds)
	}
	for now, inForce := range map[string]bool{"2026-07-01T10:00:00+02:00": true, "2026-07-01T18:00:01+02:00": false,
		"2026-07-04T10:00:00+02:00": false} {
		t.Run(now, func(t *testing.T) {
			at, _ := time.Parse(time.RFC3339, now)
			p, problems := compiler.Compile(doc, plan.HostFacts{Now: at, Zone: berlin}, nil)
			if p == nil {
				t.Fatal(problems)
			}
			x, err := explain.New(doc, p, p, explain.Live{Now: at, Zone: berlin})
			if err != nil {
				t.Fatal(err)
			}
			if a := askAt(t, x, ""); (a.By.Kind == explain.ByPolicy) != inForce {
				t.Errorf("at %s: %v", now, a.By)
			}
			c := &explain.Connection{Src: netip.MustParseAddr("192.168.10.11"), Dst: netip.MustParseAddr("9.9.9.9"),
				Proto: 6, SPort: 40000, DPort: 443, HasPorts: true}
			if a := x.AnswerTo(c, "br-lan", false); (a.By.Kind == explain.ByPolicy) != inForce {
				t.Errorf("a connection at %s: %v", now, a.By)
			}
			for asked, want := range map[string]explain.Kind{
				"2040-01-02 08:00": explain.ByPolicy, "2040-01-02 07:59": explain.ByDefault, "2040-01-02T07:30:00Z": explain.ByPolicy,
				"mon 12:00": explain.ByPolicy, "sun 12:00": explain.ByDefault,
			} {
				if a := askAt(t, x, asked); a.By.Kind != want {
					t.Errorf("asked for %s: %v", asked, a.By)
				}
			}
			var wrong explain.Text
			for key, value := range map[string]string{"in": "br-lan", "src": "192.168.10.11", "dst": "9.9.9.9",
				"proto": "tcp", "at": "noon"} {
				wrong.Set(key, value)
			}
			if _, err := x.Read(&wrong, nil); err == nil {
				t.Error("noon is taken for a time")
			}
		})
	}
}

func askAt(t *testing.T, x *explain.Explainer, at string) *explain.Answer {
	t.Helper()
	return answered(t, x, map[string]string{"in": "br-lan", "src": "192.168.10.11", "dst": "9.9.9.9", "proto": "tcp",
		"dport": "443", "at": at})
}
