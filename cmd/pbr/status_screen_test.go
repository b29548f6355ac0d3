package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// sampleScreen has uplinks, each third of which is down.
func sampleScreen(uplinks int) *statusScreen {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	since, loss, all := now.Add(-90*time.Minute), 0.25, 1.0
	s := &statusScreen{now: now, status: &statusResult{Watch: &watchStatus{Since: since, Policy: "/etc/pbr/pbr.toml"}}}
	for i := range uplinks {
		u := uplinkStatus{Name: fmt.Sprintf("isp%d", i+1), checkStatus: checkStatus{State: "up", Usable: true,
			Since: &since, RTT: 8.1, Loss: &loss}}
		if i%3 == 1 {
			u.checkStatus = checkStatus{State: string(healthcheck.Down), Since: &since, Loss: &all}
		}
		u.Versions = map[string]checkStatus{"ipv4": u.checkStatus}
		s.status.Uplinks = append(s.status.Uplinks, u)
		s.measured = append(s.measured, daemon.Measured{Uplink: u.Name, Version: 4,
			RTT: []float32{.002, .004, -1, .008}, Loss: []float32{0, .5, 1, 1}})
	}
	s.status.Tables = []tableStatus{{Name: "default",
		Active: []activeRoute{{Family: plan.IPv4, Destination: "default", Uplinks: []string{"isp1"}}}}, {Name: "strict-one"}}
	s.status.Balances = []balanceStatus{{Name: "pool", Members: []memberStatus{{Name: "isp1", Usable: []int{4}}, {Name: "isp2"}}}}
	for i := range 40 {
		s.events = append(s.events, daemon.PastEvent{Time: now.Add(time.Duration(i-40) * time.Second), Uplink: "isp2",
			Version: "4", From: "up", To: "down", Reason: fmt.Sprint("round ", i)})
	}
	return s
}

func TestScreen(t *testing.T) {
	got := strings.Join(sampleScreen(3).lines(80, 24, false), "\n")
	want := `12:00:00  2 of 3 usable  pbr watch for 1h30m, /etc/pbr/pbr.toml

UPLINK       STATE         SINCE   RTT                     LOSS
isp1         up            1h30m   8.1ms              ▂▄ █ 25%             ▁▄██
isp2         down          1h30m   -                  ▂▄ █ 100%            ▁▄██
isp3         up            1h30m   8.1ms              ▂▄ █ 25%             ▁▄██

TABLE        USES NOW
default      IPv4 isp1
strict-one   none
pool         balance: isp1

EVENT        LAST CHANGES
11:59:59     isp2 IPv4 down  round 39
11:59:58     isp2 IPv4 down  round 38
11:59:57     isp2 IPv4 down  round 37
11:59:56     isp2 IPv4 down  round 36
11:59:55     isp2 IPv4 down  round 35
11:59:54     isp2 IPv4 down  round 34
11:59:53     isp2 IPv4 down  round 33
11:59:52     isp2 IPv4 down  round 32
11:59:51     isp2 IPv4 down  round 31

q ends`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// plain is a line without escape sequences.
func plain(line string) string {
	for {
		before, rest, found := strings.Cut(line, "\x1b[")
		if !found {
			return line
		}
		_, rest, _ = strings.Cut(rest, "m")
		line = before + rest
	}
}

// Whatever the size, nothing is wider or higher, and what is down is shown.
func TestScreenSizes(t *testing.T) {
	for _, uplinks := range []int{0, 1, 3, 200} {
		for _, size := range [][2]int{{80, 24}, {40, 10}, {20, 5}, {200, 60}, {80, 1}, {1, 1}} {
			t.Run(fmt.Sprintf("%d uplinks, %dx%d", uplinks, size[0], size[1]), func(t *testing.T) {
				for _, paint := range []bool{false, true} {
					lines := sampleScreen(uplinks).lines(size[0], size[1], paint)
					if len(lines) > size[1] {
						t.Errorf("%d uplinks, %v: %d lines", uplinks, size, len(lines))
					}
					for _, l := range lines {
						if n := utf8.RuneCountInString(plain(l)); n > max(size[0], 20) {
							t.Errorf("%d uplinks, %v: %d columns: %q", uplinks, size, n, l)
						}
					}
					if text := strings.Join(lines, "\n"); uplinks == 200 && size[1] >= 10 &&
						(!strings.Contains(text, "down") || !strings.Contains(plain(text), "more")) {
						t.Errorf("%v:\n%s", size, text)
					}
				}
			})
		}
	}
}
