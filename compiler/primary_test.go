package compiler

import (
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// An uplink that failed its check, and that default keeps for IPv4 because it has no other, is not the primary one: IPv6 answers to what came in by it
// would leave through the uplink that default uses for IPv6.
func TestPrimaryOfBothVersions(t *testing.T) {
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
		down Health
		want int
	}{"all are up": {nil, 1}, "both failed": {Health{"both": 1}, 0}, "six failed": {Health{"six": 1}, 1}, "all failed": {Health{"six": 1, "both": 2}, 1}} {
		p, _ := Compile(doc, plan.Machine{}, c.down)
		for _, s := range p.Ruleset.Sets {
			if s.Name == setPrimary && len(s.Elements) != c.want {
				t.Errorf("%s: primary has %d interfaces, not %d", name, len(s.Elements), c.want)
			}
		}
	}
}
