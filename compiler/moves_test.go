package compiler

import (
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

const movesPolicy = `
[pbr]
offload = "off"
[[uplink]]
name = "isp1"
interface = "eth1"
gateway = "192.0.2.1"
[[uplink]]
name = "isp2"
interface = "eth2"
gateway = "198.51.100.1"
[[table]]
name = "either"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[[table]]
name = "only"
routes = [{ uplink = "isp2" }]
[[table]]
name = "shared"
routes = [{ uplink = "isp2" }, { uplink = "isp1" }]
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[policy]]
name = "phones"
src = "10.0.0.1"
uplink = "isp2"
[[policy]]
name = "cameras"
src = "10.0.0.2"
uplink = "isp2"
strict = true
[[policy]]
name = "guests"
src = "10.0.0.3"
uplink = "isp1"
`

// What leaves a failed uplink for another one, so that its connections are flushed.
func TestWhatLeavesAFailedUplink(t *testing.T) {
	doc := parse(t, movesPolicy)
	at := func(t *testing.T, down map[string]int) *plan.Plan {
		p, ds := Compile(doc, plan.HostFacts{}, Down(down))
		if p == nil {
			t.Fatal(ds)
		}
		return p
	}
	for _, c := range []struct {
		name       string
		uplink     int
		have, want map[string]int
		tables     string
		fellBack   string
	}{
		{"nothing changes", 0, nil, nil, "", ""},
		// Connections of default over its primary uplink are not pinned; policy guests fell back to
		// a default over isp2.
		{"the primary uplink fails", 0, nil, map[string]int{"isp1": 1}, "shared", "guests"},
		{"the other uplink fails", 1, nil, map[string]int{"isp2": 1}, "either shared", "phones"},
		{"the other one fails too", 1, map[string]int{"isp1": 1}, map[string]int{"isp1": 1, "isp2": 2}, "", ""},
		{"the last uplink comes back", 0, map[string]int{"isp1": 1, "isp2": 2}, map[string]int{"isp2": 2}, "", ""},
		{"a failed uplink stays so", 1, map[string]int{"isp2": 1}, map[string]int{"isp2": 1}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, have, want := &doc.Uplinks[c.uplink], at(t, c.have), at(t, c.want)
			if tables := MovedTables(have, want, u, plan.IPv4); !slices.Equal(tables, strings.Fields(c.tables)) {
				t.Errorf("tables that move: %q, want %q", tables, c.tables)
			}
			if policies := FellBack(doc, have, want, u, plan.IPv4); !slices.Equal(policies, strings.Fields(c.fellBack)) {
				t.Errorf("policies that fall back: %q, want %q", policies, c.fellBack)
			}
			if tables := MovedTables(have, want, u, plan.IPv6); tables != nil {
				t.Errorf("tables that move, in a version that nobody carries: %q", tables)
			}
		})
	}
}
