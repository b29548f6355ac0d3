package compiler

import (
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// An uplink that failed its check, and that default keeps for IPv4 because it has no other, is the
// primary one of IPv4 alone: IPv6 answers to what came in by it would leave through the uplink that
// default uses for IPv6.
func TestPrimaryOfEachVersion(t *testing.T) {
	doc, problems := policy.Parse(fstest.MapFS{"p": {Data: []byte(`
[[uplink]]
name = "both"
interface = "wan1"
[[uplink]]
name = "six"
interface = "wan2"
gateway6 = "2001:db8::1"
[default]
routes = [{ uplink = "both" }, { uplink = "six", distance = 2 }]
`)}}, "p", "p")
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	for name, c := range map[string]struct {
		down  map[string]int
		want6 int
	}{"all are up": {nil, 1}, "both failed": {map[string]int{"both": 1}, 0},
		"six failed": {map[string]int{"six": 1}, 1}, "all failed": {map[string]int{"six": 1, "both": 2}, 1}} {
		t.Run(name, func(t *testing.T) {
			p, _ := Compile(doc, plan.HostFacts{}, Down(c.down))
			want := map[string]int{plan.SetPrimary(plan.IPv4): 1, plan.SetPrimary(plan.IPv6): c.want6}
			for _, s := range p.Ruleset.Sets {
				if n, is := want[s.Name]; is && len(s.Elements) != n {
					t.Errorf("%s: %s has %d interfaces, not %d", name, s.Name, len(s.Elements), n)
				}
			}
		})
	}
}
