package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// Without a watch the reason of a bad link is what the link shows now, without a time.
func TestLinkStatus(t *testing.T) {
	line := healthcheck.UplinkVersion{Uplink: "isp1", Version: 4}
	t.Run("a missing interface", func(t *testing.T) {
		row := checkCells(checked(linkStatus(line, healthcheck.LinkState{}, false)), time.Now())
		if row[0] != "link-down" || row[7] != "the interface does not exist" {
			t.Errorf("a missing interface: %q", row)
		}
	})
	t.Run("a good link", func(t *testing.T) {
		good := healthcheck.LinkState{Exists: true, Up: true, Carrier: true, Addressed: true, Routed: true}
		if row := checkCells(checked(linkStatus(line, good, false)), time.Now()); row[0] != string(unchecked) || row[7] != "-" {
			t.Errorf("a good link: %q", row)
		}
	})
}

func TestStatusText(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	bytesUsed, hits, all, none := uint64(5<<30/4+1), uint64(12), 1.0, 0.0
	nobody, seven, full := 0, 7, uint64(3)
	s := &statusResult{
		Watch: &watchStatus{PID: 812, Since: *ago(76 * time.Hour), Policy: "p.toml", PolicyLoaded: *ago(90 * time.Second)},
		Uplinks: []uplinkStatus{
			{Name: "isp1", Interface: "eth1", checkStatus: checkStatus{State: "down", Since: ago(12 * time.Second), Loss: &all, Rounds: 40,
				LastFailure: "8.8.8.8: no answer within 1s", LastFailureAt: ago(time.Second), Flaps: 3,
				HeldUntil: ago(-29100 * time.Millisecond)}},
			{Name: "isp2", Interface: "eth2", checkStatus: checkStatus{State: "up", Usable: true,
				Since: ago(76 * time.Hour), RTT: 8.14, Jitter: 1.26, Loss: &none, Rounds: 9,
				LastFailure: "carrier lost", LastFailureAt: ago(76 * time.Hour)}, usage: usage{214, &bytesUsed}},
			{Name: "isp3", Interface: "eth3", checkStatus: checkStatus{State: "mixed", Usable: true}, Versions: map[string]checkStatus{
				"ipv4": {State: "up", Usable: true, RTT: 9, Loss: &none, Rounds: 9},
				"ipv6": {State: "down", LastFailure: "2001:db8::1: no answer within 1s"}}},
		},
		Tables: []tableStatus{
			{Name: "both", Active: []activeRoute{
				{Family: plan.IPv4, Destination: "default", Uplinks: []string{"isp1", "isp2"},
					Via: []string{"192.0.2.1", "ppp0"}, Metric: 1},
				{Family: plan.IPv6, Destination: "default", Metric: 65535},
				{Family: plan.IPv4, Destination: "10.0.0.0/8", Uplinks: []string{"isp2"}, Via: []string{"ppp0"}, Metric: 2}}},
			{Name: "none"},
			{Name: "default", Active: []activeRoute{{Family: plan.IPv4, Destination: "default",
				Uplinks: []string{"isp1"}, Via: []string{"192.0.2.1"}, Metric: 1, Kept: true}}},
		},
		Balances: []balanceStatus{
			{Name: "pool", Sticky: true, Clients: &seven, Full: &full,
				Members: []memberStatus{{"isp1", 2, []int{}, &nobody}, {"isp2", 1, []int{4, 6}, &seven}}},
			{Name: "turns", Members: []memberStatus{{"both", 1, []int{4}, nil}}},
		},
		Policies: []steeringStatus{
			{Name: "voip", Target: daemon.OutlineTarget{Kind: "uplink", Name: "isp1"},
				Uplinks: map[string][]string{"ipv4": {"isp2"}, "ipv6": {}}, Hits: &hits,
				Problem: "its uplink is down: new connections use default"},
			{Name: "web", Target: daemon.OutlineTarget{Kind: "balance", Name: "pool", Strict: true},
				Uplinks: map[string][]string{"ipv4": {"isp1", "isp2"}, "ipv6": {"isp2"}}},
		},
		Rules: []ruleStatus{
			{steeringStatus{Name: "cams", Target: daemon.OutlineTarget{Kind: "table", Name: "both"},
				Uplinks: map[string][]string{"ipv4": {"isp1"}, "ipv6": {"isp1"}}}, "lookup", 10300},
			{steeringStatus{Name: "none"}, "drop", 10301},
		},
	}
	var b bytes.Buffer
	folding(true).writeStatus(&b, s, now, false)
	want := `pbr watch: process 812, for 3d4h, policy p.toml read 1m30s ago

UPLINK      INTERFACE  STATE  SINCE  RTT    JITTER  LOSS  CONNECTIONS  BYTES    LAST FAILURE
isp1        eth1       down   12s    -      -       100%  0            -        8.8.8.8: no answer within 1s, 1s ago (flapping, 3 times: held down for another 30s)
isp2        eth2       up     3d4h   8.1ms  1.3ms   0%    214          1.3 GiB  -
isp3 IPv4   eth3       up     -      9.0ms  0.0ms   0%    0            -        -
isp3 IPv6   eth3       down   -      -      -       -     -            -        2001:db8::1: no answer within 1s
(unmarked)  -          -      -      -      -       -     0            -        -

TABLE    DESTINATION  ROUTE
both     IPv4         isp1 via 192.0.2.1 + isp2 via ppp0, distance 1
         IPv6         unreachable
         10.0.0.0/8   isp2 via ppp0, distance 2
none     -            none
default  IPv4         isp1 via 192.0.2.1, distance 1 (not usable, kept: the table has no other)

BALANCE  MEMBER  WEIGHT  TAKES      CLIENTS
pool     isp1    2       none       0
         isp2    1       IPv4 IPv6  7
turns    both    1       IPv4       -

POLICY  TARGET                USES                  HITS  PROBLEM
voip    uplink isp1           isp2                  12    its uplink is down: new connections use default
web     balance pool, strict  isp1 isp2, IPv6 isp2  -     -

RULE  PRIORITY  TARGET      USES  PROBLEM
cams  10300     table both  isp1  -
none  10301     drop        -     -
pool: the client map was full 3 times: increase size of sticky in the policy
`
	t.Run("printed in full", func(t *testing.T) {
		if b.String() != want {
			t.Errorf("printed\n%s\nnot\n%s", b.String(), want)
		}
	})
	t.Run("an uplink that is down is an exit status", func(t *testing.T) {
		if err := statusExit(s); err != exitCode(exitDown) {
			t.Errorf("with an uplink down: %v", err)
		}
	})

	t.Run("in colour", func(t *testing.T) {
		b.Reset()
		folding(true).writeStatus(&b, s, now, true)
		if !strings.Contains(b.String(), red+"down"+noColour+"   12s") || !strings.Contains(b.String(), green+"up"+noColour) {
			t.Errorf("colours:\n%q", b.String())
		}
	})
	t.Run("broken to 100 columns it has the same words", func(t *testing.T) {
		narrow := page{width: 100}
		folding(true).writeStatus(&narrow, s, now, false)
		for line := range strings.Lines(narrow.String()) {
			if utf8.RuneCountInString(line) > 100+1 {
				t.Errorf("too wide: %q", line)
			}
		}
		if strings.Join(strings.Fields(narrow.String()), " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("broken to 100 columns:\n%s", narrow.String())
		}
	})

	t.Run("without a watch it says so, and all uplinks up is no exit status", func(t *testing.T) {
		b.Reset()
		s.Watch, s.Uplinks = nil, s.Uplinks[1:2]
		folding(true).writeStatus(&b, s, now, false)
		if !strings.HasPrefix(b.String(), "pbr watch is not running") {
			t.Errorf("without a watch:\n%s", b.String())
		}
		if err := statusExit(s); err != nil {
			t.Errorf("with all uplinks up: %v", err)
		}
	})
}

func TestSizeAndSpan(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 19: "1.5 MiB",
		1 << 40: "1.0 TiB", 1<<64 - 1: "16.0 EiB"} {
		t.Run(want, func(t *testing.T) {
			if got := size(&n); got != want {
				t.Errorf("%d is %s, not %s", n, got, want)
			}
		})
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59900 * time.Millisecond: "59s", time.Minute: "1m0s", 3599 * time.Second: "59m59s",
		time.Hour: "1h0m", 49 * time.Hour: "2d1h",
	} {
		t.Run(want, func(t *testing.T) {
			if got := span(d); got != want {
				t.Errorf("%v is %s, not %s", d, got, want)
			}
		})
	}
}

// A number that is not known is absent: a balance that is not sticky remembers nobody, which is not
// the same as 0 clients.
func TestStatusLeavesUnknownNumbersOut(t *testing.T) {
	nobody, none := 0, uint64(0)
	for _, c := range []struct {
		balance balanceStatus
		want    string
	}{
		{balanceStatus{Name: "turns", Members: []memberStatus{{"both", 1, []int{4}, nil}}},
			`{"name":"turns","members":[{"name":"both","weight":1,"living":[4]}],"sticky":false}`},
		{balanceStatus{Name: "pool", Members: []memberStatus{{"both", 1, []int{4}, &nobody}},
			Sticky: true, Clients: &nobody, Full: &none},
			`{"name":"pool","members":[{"name":"both","weight":1,"living":[4],"clients":0}],` +
				`"sticky":true,"clients":0,"full":0}`},
	} {
		t.Run(c.balance.Name, func(t *testing.T) {
			if text, err := json.Marshal(c.balance); err != nil || string(text) != c.want {
				t.Errorf("%v: %s, not %s", err, text, c.want)
			}
		})
	}
	if text, err := json.Marshal(daemon.Numbers{}); err != nil || strings.Contains(string(text), "last_update_ns") {
		t.Errorf("%v: %s", err, text)
	}
}
