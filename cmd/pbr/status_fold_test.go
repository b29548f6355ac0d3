package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
)

// manyUplinks is the status of a router with n uplinks, all of them healthy: a table of its own for
// each, a balance over all, and a policy and a rule for each.
func manyUplinks(n int, now time.Time) *statusResult {
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	s := &statusResult{Watch: &watchStatus{PID: 812, Since: now, Policy: "p.toml", PolicyLoaded: now},
		Balances: []balanceStatus{{Name: "pool"}}}
	var all, via []string
	for i := range n {
		name, loss, used, hits := fmt.Sprint("isp", i+1), float64(i%3)/100, uint64(1024), uint64(0)
		all, via = append(all, name), append(via, "192.0.2.1")
		s.Uplinks = append(s.Uplinks, uplinkStatus{Name: name, Interface: fmt.Sprint("eth", i+1), usage: usage{2, &used},
			checkStatus: checkStatus{State: "up", Usable: true, Since: ago(time.Duration(i+1) * time.Minute), RTT: 8 + float64(i),
				Jitter: 1, Loss: &loss, Rounds: 9}})
		s.Tables = append(s.Tables, tableStatus{Name: "to" + name, Active: []activeRoute{
			{Family: plan.IPv4, Destination: "default", Uplinks: []string{name}, Via: []string{"192.0.2.1"}, Metric: 1}}})
		s.Balances[0].Members = append(s.Balances[0].Members, memberStatus{Name: name, Weight: 1, Usable: []int{4}, Clients: &i})
		one := steeringStatus{Name: "p" + name, Target: daemon.OutlineTarget{Kind: "table", Name: "to" + name},
			Uplinks: map[string][]string{"ipv4": {name}}, Hits: &hits}
		s.Policies = append(s.Policies, one)
		one.Name, one.Hits = "r"+name, nil
		s.Rules = append(s.Rules, ruleStatus{one, "lookup", uint32(10300 + i)})
	}
	s.Tables = append(s.Tables, tableStatus{Name: "default", Active: []activeRoute{
		{Family: plan.IPv4, Destination: "default", Uplinks: all, Via: via, Metric: 1}}})
	s.Policies[0].Uplinks["ipv4"] = all
	return s
}

// troubled gives some of the uplinks something to look at.
func troubled(s *statusResult, now time.Time) {
	at := now.Add(-time.Minute)
	down := &s.Uplinks[6]
	down.checkStatus = checkStatus{State: "down", Since: &at, LastFailure: "8.8.8.8: no answer within 1s", LastFailureAt: &at}
	s.Tables[6].Active[0].Kept, s.Balances[0].Members[6].Usable = true, nil
	s.Policies[6].Problem, s.Rules[6].Problem = "its uplink is down: new connections use default", "its table has no usable uplink"
	s.Uplinks[20].LastFailure, s.Uplinks[20].LastFailureAt = "carrier lost", &at
	s.Uplinks[30].State, s.Uplinks[31].State = "forced-up", "forced-up"
	hits := uint64(12)
	s.Policies[0].Hits = &hits
}

func TestStatusOfManyUplinks(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	text := func(f folding, s *statusResult) string {
		var b bytes.Buffer
		f.writeStatus(&b, s, now, false)
		return b.String()
	}
	s := manyUplinks(140, now)
	troubled(s, now)
	want := `pbr watch: process 812, for 0s, policy p.toml read 0s ago

UPLINK                          INTERFACE       STATE      SINCE            RTT               JITTER  LOSS      CONNECTIONS  BYTES      LAST FAILURE
isp7                            eth7            down       1m0s             -                 -       -         2            1.0 KiB    8.8.8.8: no answer within 1s, 1m0s ago
isp31                           eth31           forced-up  31m0s            38.0ms            1.0ms   0%        2            1.0 KiB    -
isp32                           eth32           forced-up  32m0s            39.0ms            1.0ms   1%        2            1.0 KiB    -
isp1, isp2, isp3 and 134 more   137 interfaces  up         1m0s to 2h20m    8.0ms to 147.0ms  1.0ms   0% to 2%  274          137.0 KiB  isp21: carrier lost, 1m0s ago
(unmarked)                      -               -          -                -                 -       -         0            -          -

TABLE                                   DESTINATION  ROUTE
toisp7                                  IPv4         isp7 via 192.0.2.1, distance 1 (not usable, kept: the table has no other)
default                                 IPv4         isp1 via 192.0.2.1 + isp2 via 192.0.2.1 + isp3 via 192.0.2.1 and 137 more, distance 1
toisp1, toisp2, toisp3 and 136 more     IPv4         an uplink each, distance 1

BALANCE  MEMBER                         WEIGHT  TAKES  CLIENTS
pool     isp7                           1       none   6
         isp1, isp2, isp3 and 136 more  1       IPv4   9724

POLICY  TARGET        USES                           HITS  PROBLEM
pisp7   table toisp7  isp7                           0     its uplink is down: new connections use default
pisp1   table toisp1  isp1 isp2 isp3 and 137 more    12    -
138 more policies: pbr status --all lists them

RULE   PRIORITY  TARGET        USES  PROBLEM
risp7  10306     table toisp7  isp7  its table has no usable uplink

139 more rules: pbr status --all lists them

pbr status --all shows what is summed up or left out here
`
	t.Run("problems come first, and what is alike shares a line", func(t *testing.T) {
		if got := text(true, s); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("printed\n%s", got)
		}
	})
	t.Run("with --all each has its line, in the file's order", func(t *testing.T) {
		got := text(false, s)
		for i := range s.Uplinks {
			for _, line := range []string{"\nisp%d ", "\ntoisp%d ", "\npisp%d ", "\nrisp%d "} {
				if line = fmt.Sprintf(line, i+1); strings.Count(got, line) != 1 {
					t.Errorf("%d lines begin with %q", strings.Count(got, line), line)
				}
			}
		}
		if strings.Contains(got, " more") || strings.Contains(got, "--all") {
			t.Errorf("something is left out:\n%s", got)
		}
	})
	t.Run("up to 30 uplinks nothing is left out", func(t *testing.T) {
		s := manyUplinks(29, now) // whose tables are 30
		if got := text(true, s); got != text(false, s) {
			t.Errorf("printed\n%s", got)
		}
	})
	t.Run("quotas that are nearly used up have lines of their own", func(t *testing.T) {
		s := manyUplinks(40, now)
		for i := range s.Uplinks {
			s.Uplinks[i].Quota = &daemon.QuotaStatus{Bytes: 1000, Left: 1000, Resets: now}
		}
		s.Uplinks[3].Quota.Left = 99
		got := text(true, s)
		if !strings.Contains(got, "quota of isp4: 99 B of 1000 B left") || !strings.Contains(got, "quotas of 39 uplinks: a tenth or more is left") {
			t.Errorf("printed\n%s", got)
		}
	})
}
