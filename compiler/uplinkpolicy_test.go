package compiler

import (
	"net/netip"
	"testing"

	"pbr/compiler/plan"
	packets "pbr/compiler/walk"
)

const uplinkPolicies = `
[pbr]
offload = "off"
[[uplink]]
name = "isp1"
interface = "eth1"
gateway = "192.0.2.1"
gateway6 = "2001:db8:1::1"
[[uplink]]
name = "isp2"
interface = "eth2"
gateway = "198.51.100.1"
[[table]]
name = "either"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[[balance]]
name = "pool"
members = [{ uplink = "isp2" }, { table = "either" }]
sticky = "1h"
[[policy]]
name = "falls-back"
src = ["10.0.0.1", "2001:db8::1"]
uplink = "isp2"
[[policy]]
name = "strict"
src = ["10.0.0.2", "2001:db8::2"]
uplink = "isp2"
strict = true
[[policy]]
name = "strict-pool"
src = ["10.0.0.3", "2001:db8::3"]
balance = "pool"
strict = true
[[policy]]
name = "pool"
src = ["10.0.0.4", "2001:db8::4"]
balance = "pool"
`

// The table that a first packet is marked for, by source and health.
func TestPoliciesOfUplinks(t *testing.T) {
	doc := parse(t, uplinkPolicies)
	for _, row := range []struct {
		what string
		down Health
		want map[string]string
	}{
		{"all up", nil, map[string]string{
			"10.0.0.1": "isp2", "10.0.0.2": "isp2/strict",
			// isp2 carries no IPv6.
			"2001:db8::1": "", "2001:db8::2": "strict/unreachable", "2001:db8::3": "either/strict", "2001:db8::4": "either",
		}},
		{"isp2 down", Down(map[string]int{"isp2": 1}), map[string]string{
			"10.0.0.1": "", "10.0.0.2": "strict/unreachable", "10.0.0.3": "either/strict", "10.0.0.4": "either",
		}},
		{"both down", Down(map[string]int{"isp1": 1, "isp2": 2}), map[string]string{
			"10.0.0.1": "", "10.0.0.2": "strict/unreachable", "10.0.0.3": "strict/unreachable",
			"2001:db8::3": "strict/unreachable", "2001:db8::4": "either", // the last one stays
		}},
	} {
		t.Run(row.what, func(t *testing.T) {
			p, ds := Compile(doc, plan.HostFacts{}, row.down)
			if p == nil {
				t.Fatal(ds)
			}
			e, err := packets.New(&p.Ruleset)
			if err != nil {
				t.Fatal(err)
			}
			for src, want := range row.want {
				packet := &packets.Packet{IIF: "lan", Src: netip.MustParseAddr(src),
					Dst: netip.MustParseAddr("203.0.113.9"), Proto: 17, CTState: packets.StateNew}
				if packet.Src.Is6() {
					packet.Dst = netip.MustParseAddr("2001:db8:9::9")
				}
				for when := range 2 { // the second one's client is remembered
					r, err := e.Walker().Walk("classify", packet)
					if err != nil {
						t.Fatal(err)
					}
					if got := tableOf(p, r.Mark); got != want || r.Verdict != packets.Accepted || r.CTMark != 0 {
						t.Errorf("%s: packet %d of %s goes to %q (%v), not %q", row.what, when, src, got, r.Verdict, want)
					}
				}
			}
		})
	}
}

func tableOf(p *plan.Plan, mark uint32) string {
	for _, n := range p.Numbers {
		if n.Mark == mark && mark != 0 {
			return n.Name
		}
	}
	return ""
}

// A failure, and a return, is elements of sets, and routes.
func TestSmallChangesOfPoliciesOfUplinks(t *testing.T) {
	doc := parse(t, uplinkPolicies)
	have, _ := Compile(doc, plan.HostFacts{}, nil)
	want, _ := Compile(doc, plan.HostFacts{}, Down(map[string]int{"isp2": 1}))
	c := plan.Diff(have, want)
	t.Run("no chain, rule or counter changes", func(t *testing.T) {
		if len(c.Chains)+len(c.Rules)+len(c.Counters) > 0 {
			t.Errorf("an uplink down changes %d chains, %d rules, %d counters", len(c.Chains), len(c.Rules), len(c.Counters))
		}
	})
	t.Run("sets lose one element each, that of the usable uplinks among them", func(t *testing.T) {
		usable := false
		for _, s := range c.Sets {
			if s.Rebuild || len(s.Add) != 0 || len(s.Remove) != 1 {
				t.Errorf("an uplink down changes set %s: +%d -%d", s.Have.Name, len(s.Add), len(s.Remove))
			}
			usable = usable || s.Have.Name == UsableSet(plan.IPv4, false)
		}
		if !usable {
			t.Error("the set of usable uplinks does not change")
		}
	})
}
