package explain_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// A balance says how it chooses, and what it remembers of the client.
func TestStoryOfBalances(t *testing.T) {
	balances := strings.Replace(twoUplinks, "\nnat = \"198", "\ngateway6 = \"2001:db8:2::1\"\nnat = \"198", 1) + `
[[balance]]
name = "turn"
method = "round-robin"
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
sticky = { time = "1h", prefix6 = 56 }
[[balance]]
name = "dice"
method = "random"
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[balance]]
name = "sums"
hash = ["src", "dst"]
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[policy]]
name = "turns"
src = ["10.0.0.0/24", "fd00::/16"]
balance = "turn"
[[policy]]
name = "dices"
src = "10.0.1.0/24"
balance = "dice"
[[policy]]
name = "sums"
src = "10.0.2.0/24"
balance = "sums"
`
	doc, p, compiled := compiledPolicy(t, balances)
	mark := plan.PinnedMark(p.Numbers, "isp2")
	facts := walk.Facts{Known: true, Links: map[string]walk.Link{
		"lan":  {Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/16")}},
		"wan1": {Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}},
		"wan2": {Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.2/24"), netip.MustParsePrefix("2001:db8:2::2/64")}},
	}, Clients: map[string]map[plan.Key]walk.Client{
		compiler.ClientsMap("turn", plan.IPv4): {
			plan.KeyFromAddr(netip.MustParseAddr("10.0.0.7")): {Mark: mark, Expires: 41*time.Minute + time.Millisecond}},
		compiler.ClientsMap("turn", plan.IPv6): {
			plan.KeyFromAddr(netip.MustParseAddr("fd00:0:0:100::")): {Mark: mark, Expires: time.Second}},
	}}
	down, _ := compiled.Compile(plan.HostFacts{}, compiler.Down(map[string]int{"isp2": 1}))
	for _, c := range []struct {
		name, src string
		live      bool
		have      *plan.Plan
		want      string
		leaves    string
	}{
		{"a client that is remembered", "10.0.0.7", true, p,
			"turn: in turn (round-robin), sticky 1h; client 10.0.0.7 is remembered with isp2, for another 41m", "uplink isp2"},
		{"one that is not", "10.0.0.8", true, p, "turn: in turn (round-robin), sticky 1h; client 10.0.0.8 is not remembered",
			"one of isp1, isp2, in turn (round-robin)"},
		{"a prefix", "fd00:0:0:1ff::9", true, p,
			"turn: in turn (round-robin), sticky 1h; client fd00:0:0:100::/56 is remembered with isp2, for another 1s", ""},
		{"its member is down", "10.0.0.7", true, down, "turn: in turn (round-robin), sticky 1h; " +
			"client 10.0.0.7 is remembered with isp2, for another 41m, but isp2 is not usable", "uplink isp1"},
		{"without the kernel", "10.0.0.7", false, p, "turn: in turn (round-robin), sticky 1h",
			"one of isp1, isp2, in turn (round-robin)"},
		{"by chance", "10.0.1.7", true, p, "dice: by chance (random)", "one of isp1, isp2, by chance (random)"},
		{"by hash", "10.0.2.7", true, p, "sums: by hash of src, dst", "uplink "},
		{"no balance", "10.0.9.7", true, p, "", "uplink isp1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			live := explain.Live{}
			if c.live {
				live.Facts = facts
			}
			x, err := explain.New(doc, p, c.have, live)
			if err != nil {
				t.Fatal(err)
			}
			dst := map[bool]string{false: "9.9.9.9", true: "2001:db8::9"}[strings.Contains(c.src, ":")]
			got := map[string]string{}
			a := answered(t, x, map[string]string{"in": "lan", "src": c.src, "dst": dst, "proto": "udp"})
			for _, step := range x.Story(a, nil, false).Steps {
				got[step.What] += step.Text
			}
			if got["balance"] != c.want {
				t.Errorf("balance: %q, want %q", got["balance"], c.want)
			}
			if !strings.Contains(got["leaves"], c.leaves) {
				t.Errorf("leaves: %q, want %q", got["leaves"], c.leaves)
			}
		})
	}
}
