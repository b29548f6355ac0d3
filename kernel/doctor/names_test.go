package doctor

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

const filled = "pbr = { dnsmasq = \"/etc/dnsmasq.d/pbr.conf\" }\n" + named

var addr = netip.MustParseAddr

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
		names        facts.Names
		level        Level
		says         string
	}{
		{name: "held", policy: named, watch: 7, level: OK, says: "held by queue 112"},
		{name: "held by the target", policy: named, tap: plan.TapTarget, watch: 7, level: OK,
			says: "by xtables' NFQUEUE: this kernel has no nft_queue"},
		{name: "another number", policy: "pbr = { queue = 9 }\n" + named, watch: 7, level: OK, says: "held by queue 9"},
		{name: "copied", policy: named, tap: plan.TapLog, watch: 7, level: Warn,
			says: "first connection not guaranteed: DNS answers are copied by log group 112 and not held: because"},
		{name: "not at all", policy: named, tap: plan.TapNone, watch: 7, level: Fail,
			says: "they stay empty: DNS answers cannot be read: because"},
		{name: "nobody", policy: named, level: Fail, says: "pbr watch does not run"},
		{name: "dnsmasq alone", policy: filled, level: Warn, says: "dnsmasq alone"},
		{name: "old dnsmasq", policy: filled, watch: 7, level: Warn,
			dnsmasq: facts.Dnsmasq{PID: 3, Started: early, Written: early.Add(time.Hour)},
			says:    "dnsmasq (process 3) started before /etc/dnsmasq.d/pbr.conf was written"},
		{name: "old cache", policy: filled, level: Warn,
			says:    "dnsmasq (process 3) started before the sets were made: names that it had in its cache",
			dnsmasq: facts.Dnsmasq{PID: 3, Started: early, Written: early.Add(-time.Hour), Made: early.Add(time.Hour)}},
		{name: "dnsmasq without nftset", policy: filled, watch: 7, level: Fail,
			dnsmasq: facts.Dnsmasq{NoNftset: "2.85"}, says: "dnsmasq 2.85 cannot fill nftables sets"},
		{name: "no answers", policy: named, watch: 7, level: Warn, says: "came by for 12m0s, and 3 hosts have connections",
			names: facts.Names{Watched: time.Hour, Unanswered: 12*time.Minute + time.Second, Clients: 3}},
		{name: "TLS", policy: named, watch: 7, level: Warn,
			says: "192.168.1.7 has connections to port 853 of 192.0.2.53 (DNS over TLS or QUIC)",
			names: facts.Names{Hidden: []facts.HiddenDNS{{Server: addr("192.0.2.53"), Port: 853,
				Client: addr("192.168.1.7"), Clients: 1}}}},
		{name: "HTTPS", policy: named, watch: 7, level: Warn,
			says:  "192.168.1.7 and other hosts have connections to port 443 of 1.1.1.1 (DNS over HTTPS by a known server of it)",
			names: facts.Names{Hidden: []facts.HiddenDNS{{Server: addr("1.1.1.1"), Port: 443, Client: addr("192.168.1.7"), Clients: 2}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, f := healthy(t, tt.policy)
			m := machine()
			m.Tap, m.TapReason = tt.tap, "because"
			*s = *subject(t, tt.policy, m)
			f.State.WatchPID, f.Dnsmasq, f.Names = tt.watch, tt.dnsmasq, tt.names
			found := false
			for _, finding := range Examine(s, f) {
				if finding.Subject != about {
					continue
				}
				found = found || finding.Level == tt.level && strings.Contains(finding.Text, tt.says) &&
					(finding.Do != "" || tt.level == OK)
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

// What is no reason to worry is not told.
func TestNamesQuiet(t *testing.T) {
	early := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, change := range map[string]func(*facts.Facts){
		"answers come": func(f *facts.Facts) { f.Names = facts.Names{Watched: time.Hour, Unanswered: time.Minute, Clients: 3} },
		"just begun":   func(f *facts.Facts) { f.Names = facts.Names{Watched: time.Minute, Unanswered: time.Minute, Clients: 3} },
		"nobody there": func(f *facts.Facts) { f.Names = facts.Names{Watched: time.Hour, Unanswered: time.Hour} },
		"spared": func(f *facts.Facts) {
			f.Offloads = []facts.Offload{{Table: "inet fw4", Chain: "forward", Flowtable: "ft", SparesDNS: true}}
		},
		"the watch sees what dnsmasq has in its cache": func(f *facts.Facts) {
			f.Dnsmasq = facts.Dnsmasq{PID: 3, Started: early.Add(time.Hour), Written: early, Made: early.Add(2 * time.Hour)}
		},
		"a cache of last week": func(f *facts.Facts) {
			f.State.WatchPID, f.Dnsmasq = 0, facts.Dnsmasq{PID: 3, Started: early, Written: early, Made: early.Add(48 * time.Hour)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := healthy(t, filled)
			change(f)
			bad := slices.DeleteFunc(notOK(Examine(s, f)), func(line string) bool {
				return strings.Contains(line, "dnsmasq alone fills") || strings.Contains(line, " watch: does not run")
			})
			if len(bad) > 0 {
				t.Errorf("%s: %q", name, bad)
			}
		})
	}
}

// A flowtable of others hides answers, and the line says how to leave DNS out.
func TestOffloadedDNS(t *testing.T) {
	t.Run("the rule is named, and what to write in its place", func(t *testing.T) {
		s, f := healthy(t, named)
		f.Offloads = []facts.Offload{{Table: "inet fw4", Chain: "forward", Handle: 12, Flowtable: "ft"}}
		want := `warn inet fw4 forward: rule 12 offloads connections by flowtable ft: ` +
			`unless an earlier rule leaves port 53 out, all but the first answers over a connection to a DNS ` +
			`server elsewhere pass unseen - ` +
			`nft replace rule inet fw4 forward handle 12 meta l4proto { tcp, udp } ` +
			`ct original proto-dst != 53 flow add @ft, and where the program that made it keeps its rules`
		if got := notOK(Examine(s, f)); !slices.Equal(got, []string{want}) {
			t.Errorf("%q", got)
		}
	})
	t.Run("without lists of domains it does not matter", func(t *testing.T) {
		s, f := healthy(t, twoUplinks)
		f.Offloads = []facts.Offload{{Table: "inet fw4", Chain: "forward", Handle: 12, Flowtable: "ft"}}
		if got := notOK(Examine(s, f)); got != nil {
			t.Errorf("without lists of domains: %q", got)
		}
	})
}

// Of all connections those of hosts inside to elsewhere count.
func TestClientDNS(t *testing.T) {
	m := machine()
	lan := m.Links["lan0"]
	lan.Networks = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
	m.Links["lan0"] = lan
	wan := m.Links["wan1"]
	wan.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	m.Links["wan1"] = wan
	s := subject(t, named, m)
	list := []Connection{
		{addr("192.168.1.7"), addr("203.0.113.5"), 853},  // over TLS
		{addr("192.168.1.9"), addr("203.0.113.5"), 853},  // again
		{addr("192.168.1.7"), addr("1.1.1.1"), 443},      // a known server
		{addr("192.168.1.8"), addr("203.0.113.9"), 443},  // a web server
		{addr("192.168.1.1"), addr("1.0.0.1"), 853},      // this machine's own
		{addr("192.0.2.77"), addr("192.168.1.9"), 853},   // from outside
		{addr("192.168.1.7"), addr("192.168.1.53"), 853}, // inside
		{addr("192.168.1.7"), addr("1.1.1.1"), 53},       // can be read
	}
	got := ClientDNS(slices.Values(list), s.Doc, m)
	want := []facts.HiddenDNS{{Server: addr("1.1.1.1"), Port: 443, Client: addr("192.168.1.7"), Clients: 1},
		{Server: addr("203.0.113.5"), Port: 853, Client: addr("192.168.1.7"), Clients: 2}}
	if got.Clients != 3 || !slices.Equal(got.Hidden, want) {
		t.Errorf("%+v", got)
	}
}
