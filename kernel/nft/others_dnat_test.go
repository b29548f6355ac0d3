//go:build linux

package nft

import (
	"net/netip"
	"strings"
	"testing"

	"pbr/kernel/facts"
)

// TestOthersDestinationNAT asks of rules that translate destinations whether they may match a
// packet: TCP from 203.0.113.5, which arrived on wan2, to port 80 of 198.51.100.2, the router's own
// address.
func TestOthersDestinationNAT(t *testing.T) {
	t.Parallel()
	const never, maybe, surely = "never", "maybe", "surely"
	n := newNetns(t)
	packet := facts.FirstPacket{In: "wan2", Src: netip.MustParseAddr("203.0.113.5"), Dst: netip.MustParseAddr("198.51.100.2"),
		Protocol: 6, Port: 80, HasPort: true, Own: true}
	for rules, want := range map[string]string{
		`iifname "wan2" tcp dport 80`:                             surely,
		`iifname "wan1" tcp dport 80`:                             never,
		`iifname != "wan2" tcp dport 80`:                          never,
		`iifname "wan*" tcp dport 80`:                             surely,
		`iifname { "wan1", "wan3" } tcp dport 80`:                 never,
		`iifname { "wan1", "wan2" } tcp dport 80`:                 surely,
		`iifname != { "wan1", "wan2" } tcp dport 80`:              never,
		`iif "lo" tcp dport 80`:                                   never,
		`tcp dport 443`:                                           never,
		`tcp dport != 443`:                                        surely,
		`tcp dport { 80, 443 }`:                                   maybe,
		`tcp dport 80-90`:                                         maybe,
		`udp dport 80`:                                            never,
		`ip daddr 198.51.100.2 tcp dport 80`:                      surely,
		`ip daddr 198.51.100.0/24 ip saddr 203.0.0.0/9`:           surely,
		`ip daddr 198.51.96.0/21`:                                 surely,
		`ip daddr 198.51.101.0/24`:                                never,
		`ip daddr != 198.51.100.2`:                                never,
		`ip saddr 10.0.0.0/8`:                                     never,
		`ip protocol tcp`:                                         surely,
		`fib daddr type local tcp dport 80`:                       surely,
		`fib daddr type != local`:                                 never,
		`ct state new tcp dport 80`:                               maybe,
		`tcp sport 1000 tcp dport 80`:                             maybe,
		`meta mark 1 tcp dport 80`:                                maybe,
		`ip daddr { 198.51.100.2, 198.51.100.3 } tcp dport 80`:    maybe,
		`limit rate 1/second tcp dport 80`:                        maybe,
		`counter log prefix "x" tcp dport 80`:                     surely,
		`iifname "wan2" ct state new ip saddr 10.0.0.0/8`:         never,
		`ether saddr 02:00:00:00:00:01 ip daddr 198.51.100.2`:     maybe,
		`fib daddr . iif type local ip daddr 198.51.100.2`:        maybe,
		`ip daddr & 0.0.0.255 == 0.0.0.2`:                         maybe,
		`iifname "wan1" JUMP tcp dport 80`:                        never,
		`iifname "wan2" JUMP tcp dport 80`:                        surely,
		`iifname vmap { "wan2" : jump inner } INNER tcp dport 80`: surely,
		`iifname vmap { "wan1" : jump inner } INNER tcp dport 80`: never,
	} {
		for _, family := range []string{"ip", "inet"} {
			t.Run(family+" "+rules, func(t *testing.T) {
				n.load("add table " + family + " nat\ndelete table " + family + " nat\n" + dnatTable(family, rules))
				found, err := n.conn.DestinationNAT(func(uint32) string { return "lo" })
				if err != nil || len(found) != 1 {
					t.Fatalf("%+v, %v", found, err)
				}
				d := &found[0]
				got := never
				if may, certain := d.Meets(&packet); certain {
					got = surely
				} else if may {
					got = maybe
				}
				hooked := d.Hook.Name == "prerouting" && d.Hook.Priority == -100
				if got != want || d.To.String() != "192.168.10.20" || strings.Contains(rules, "dport") != (d.Port == 8080) || !hooked {
					t.Errorf("%s, want %s: %+v", got, want, d)
				}
			})
			n.load("delete table " + family + " nat")
		}
	}
}

// dnatTable is a table with a rule that translates destinations, and the chain that it jumps to
// where the rule says so.
func dnatTable(family, rule string) string {
	to := map[string]string{"ip": " dnat to 192.168.10.20", "inet": " dnat ip to 192.168.10.20"}[family]
	if strings.Contains(rule, "dport") {
		to += ":8080"
	}
	inner := ""
	if outer, own, jumps := strings.Cut(rule, " JUMP "); jumps {
		rule, inner, to = outer+" jump inner", own+to, ""
	} else if outer, own, jumps := strings.Cut(rule, " INNER "); jumps {
		rule, inner, to = outer, own+to, ""
	}
	return "table " + family + " nat {\nchain inner {\n" + inner + "\n}\nchain pre { type nat hook prerouting priority dstnat\n" +
		rule + to + "\n}\n}"
}

// Redirections have no address, and what is not constant is not known.
func TestOthersRedirections(t *testing.T) {
	t.Parallel()
	n := newNetns(t)
	for rule, want := range map[string]facts.DestinationNAT{
		"udp dport 53 redirect":                                                      {Redirect: true},
		"udp dport 53 redirect to :5353":                                             {Redirect: true, Port: 5353},
		"udp dport 53 dnat to 192.0.2.7":                                             {To: netip.MustParseAddr("192.0.2.7")},
		"udp dport 53 dnat to 192.0.2.7-192.0.2.9":                                   {},
		"udp dport 53 dnat to numgen inc mod 2 map { 0 : 192.0.2.7, 1 : 192.0.2.8 }": {},
	} {
		t.Run(rule, func(t *testing.T) {
			n.load("add table ip nat\ndelete table ip nat\n" +
				"table ip nat {\nchain out { type nat hook output priority -100\n" + rule + "\n}\n}")
			found, err := n.conn.DestinationNAT(noNames)
			if err != nil || len(found) != 1 {
				t.Fatalf("%+v, %v", found, err)
			}
			if d := found[0]; d.To != want.To || d.Port != want.Port || d.Redirect != want.Redirect || d.Hook.Name != "output" {
				t.Errorf("%+v, want %+v", d, want)
			}
		})
	}
}
