package doctor

import (
	"fmt"
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
)

// Where cgroup v2 is not mounted, each policy that needs it is reported, and doctor fails;
// elsewhere nothing is said.
func TestCgroups(t *testing.T) {
	doc, ds := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(`
[[uplink]]
name = "isp1"
interface = "eth1"
gateway = "192.0.2.1"
[[policy]]
name = "both"
from = "local"
cgroup = "a.slice"
unit = "a.service"
uplink = "isp1"
`)}}, "pbr.toml", "pbr.toml")
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	for _, missing := range []bool{true, false} {
		t.Run(fmt.Sprintf("missing=%v", missing), func(t *testing.T) {
			m := plan.HostFacts{NoCgroups: missing}
			if got := len(Cgroups(doc, m)); got != map[bool]int{true: 2, false: 0}[missing] {
				t.Errorf("not mounted %v: %d warnings", missing, got)
			}
			var s Subject
			s.Take(doc, m, nil)
			e := &examination{Subject: &s, facts: &facts.Facts{}}
			e.cgroups()
			if len(e.out) != 1 || (e.out[0].Level == Fail) != missing {
				t.Errorf("not mounted %v: %v", missing, e.out)
			}
		})
	}
}
