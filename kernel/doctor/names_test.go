package doctor

import (
	"strings"
	"testing"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

const named = twoUplinks + "[lists]\nstreams = { domains = [\"example.com\"] }\n"

// How lists of domains get their addresses, and what keeps the first connection from going right.
func TestNames(t *testing.T) {
	const about = "lists of domains"
	early := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, policy string
		tap          plan.Tap
		watch        int
		dnsmasq      facts.Dnsmasq
		level        Level
		says         string
	}{
		{name: "held", policy: named, watch: 7, level: OK, says: "held by queue 112"},
		{name: "another number", policy: "pbr = { queue = 9 }\n" + named, watch: 7, level: OK, says: "held by queue 9"},
		{name: "copied", policy: named, tap: plan.TapLog, watch: 7, level: Warn, says: "not guaranteed to go right: DNS answers are copied by log group 112 and not held: because"},
		{name: "not at all", policy: named, tap: plan.TapNone, watch: 7, level: Fail, says: "learn nothing: DNS answers cannot be read: because"},
		{name: "nobody", policy: named, level: Fail, says: "pbr watch does not run"},
		{name: "dnsmasq alone", policy: "pbr = { dnsmasq = \"/etc/dnsmasq.d/pbr.conf\" }\n" + named, level: Warn, says: "dnsmasq alone"},
		{name: "old dnsmasq", policy: "pbr = { dnsmasq = \"/etc/dnsmasq.d/pbr.conf\" }\n" + named, watch: 7, level: Warn,
			dnsmasq: facts.Dnsmasq{PID: 3, Started: early, Written: early.Add(time.Hour)}, says: "dnsmasq (process 3) started before"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, f := healthy(t, tt.policy)
			m := machine()
			m.Tap, m.TapReason = tt.tap, "because"
			*s = *subject(t, tt.policy, m)
			f.State.WatchPID, f.Dnsmasq = tt.watch, tt.dnsmasq
			found := false
			for _, finding := range Examine(s, f) {
				if finding.Subject != about {
					continue
				}
				found = found || finding.Level == tt.level && strings.Contains(finding.Text, tt.says) && (finding.Do != "" || tt.level == OK)
				if tt.level == OK && finding.Level != OK {
					t.Errorf("%+v", finding)
				}
			}
			if !found {
				t.Errorf("nothing says %q: %+v", tt.says, Examine(s, f))
			}
		})
	}
	s, f := healthy(t, twoUplinks)
	for _, finding := range Examine(s, f) {
		if finding.Subject == about {
			t.Errorf("without such lists: %+v", finding)
		}
	}
}
