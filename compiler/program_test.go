package compiler

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	walker "pbr/compiler/walk"
)

const programsText = `
[[uplink]]
name = "isp1"
interface = "eth1"
gateway = "192.0.2.1"
[[policy]]
name = "unit"
from = "local"
unit = "a-b.service"
uplink = "isp1"
[[policy]]
name = "same-set-name"
from = "local"
unit = ["a_b.service", "a-b.service"]
uplink = "isp1"
[[policy]]
name = "path"
from = "local"
cgroup = "one.slice/two.service"
uplink = "isp1"
`

// Sets are named so that systemd takes them, each is filled from the machine alone, and a socket's
// ancestors of every level are found.
func TestPrograms(t *testing.T) {
	doc, ds := policy.Parse(fstest.MapFS{"p": {Data: []byte(programsText)}}, "p", "p")
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	sources := Needs(doc).Cgroups
	want := []plan.CgroupSource{{Set: "unit_a_b_service", Unit: true, Name: "a-b.service"},
		{Set: "unit_a_b_service_2", Unit: true, Name: "a_b.service"},
		{Set: "cgroup_one_slice_two_service", Name: "one.slice/two.service"}}
	if !slices.Equal(sources, want) {
		t.Errorf("%v, not %v", sources, want)
	}
	filled := plan.HostFacts{Cgroups: map[string][]uint64{"unit_a_b_service": {7, 1 << 40}, "unit_a_b_service_2": {9},
		"cgroup_one_slice_two_service": {11}}}
	for name, m := range map[string]plan.HostFacts{"none": {}, "some": filled} {
		t.Run(name, func(t *testing.T) {
			p, ds := Compile(doc, m, nil)
			if p == nil {
				t.Fatal(ds)
			}
			for _, c := range []struct {
				level  int
				number uint64
				by     string
			}{{1, 7, "unit"}, {5, 1 << 40, "unit"}, {6, 7, ""}, {2, 9, "same-set-name"}, {2, 11, "path"}, {1, 11, ""}, {3, 8, ""}} {
				if name == "none" {
					c.by = ""
				}
				if got := sentBy(t, p, c.level, c.number); got != c.by {
					t.Errorf("%s: %d at level %d is of policy %q, not %q", name, c.number, c.level, got, c.by)
				}
			}
		})
	}
}

// sentBy is the policy that takes what a process sends whose control group of a level has a number.
func sentBy(t *testing.T, p *plan.Plan, level int, number uint64) string {
	t.Helper()
	rules, err := walker.New(&p.Ruleset)
	if err != nil {
		t.Fatal(err)
	}
	k := &walker.Packet{Src: netip.MustParseAddr("192.0.2.2"), Dst: netip.MustParseAddr("9.9.9.9"), Proto: 6,
		SPort: 1024, DPort: 443, CTState: walker.StateNew, HasUID: true}
	k.Cgroups[level-1] = number
	got, err := rules.Walker().Walk(chainClassifyLocal, k)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(strings.Join(got.Counters, " "), "policy-")
}
