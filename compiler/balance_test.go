package compiler

import (
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// balanced is a policy with three uplinks, the second one without IPv6, a strict table over the
// third, and a balance of what is given.
func balanced(t *testing.T, members, rest string, down Health) *plan.Plan {
	t.Helper()
	doc := parse(t, `
[pbr]
offload = "off"
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
gateway6 = "fe80::1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
nat = "masquerade"
[[uplink]]
name = "isp3"
interface = "wan3"
nat = "masquerade"
[[table]]
name = "either"
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[table]]
name = "only3"
strict = true
routes = { uplink = "isp3" }
[[policy]]
name = "p"
from = ["br-lan", "local"]
balance = "pool"
[[balance]]
name = "pool"
members = [`+members+"]\n"+rest)
	p, ds := Compile(doc, plan.HostFacts{}, down)
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	return p
}

// usableNames are the usable members of the balance in one IP version.
func usableNames(p *plan.Plan, family plan.Family) string {
	var names []string
	for _, s := range p.Ruleset.Sets {
		if s.Name != usableMembersSet("pool", false, family) {
			continue
		}
		for _, e := range s.Elements {
			for _, n := range p.Numbers {
				if n.Mark == e.From.Uint(plan.TypeMark) {
					names = append(names, n.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// spentHealth is a health in which the quotas of uplinks are used up.
func spentHealth(uplinks ...string) Health {
	h := Health{}
	for _, u := range uplinks {
		for _, family := range plan.Families {
			h[UplinkVersion{Uplink: u, Family: family}] = Spent
		}
	}
	return h
}

func TestUsableMembers(t *testing.T) {
	const uplinks = `{ uplink = "isp1" }, { uplink = "isp2" }, { uplink = "isp3" }`
	for _, row := range []struct {
		what, members   string
		down            Health
		usable, usable6 string
	}{
		{"all up", uplinks, nil, "isp1 isp2 isp3", "isp1 isp3"},
		{"one down", uplinks, Down(map[string]int{"isp1": 1}), "isp2 isp3", "isp3"},
		{"all down: the last one stays", uplinks, Down(map[string]int{"isp1": 2, "isp2": 3, "isp3": 1}), "isp2", "isp1"},
		{"a table is usable while one of its uplinks is", `{ table = "either" }, { uplink = "isp3" }`,
			Down(map[string]int{"isp1": 1}), "either isp3", "isp3"},
		{"a table is unusable when its last uplink is", `{ table = "either" }, { uplink = "isp3" }`,
			Down(map[string]int{"isp1": 1, "isp2": 2}), "isp3", "isp3"},
		{"a strict table does not stay", `{ table = "only3" }, { uplink = "isp2" }`,
			Down(map[string]int{"isp2": 1, "isp3": 2}), "isp2", ""},
		{"a quota that is used up is no wrong check", uplinks, spentHealth("isp1", "isp2", "isp3"), "", ""},
		{"of the rest the last one stays", uplinks, func() Health {
			h := spentHealth("isp1")
			h[UplinkVersion{Uplink: "isp2", Family: plan.IPv4}] = 2
			h[UplinkVersion{Uplink: "isp3", Family: plan.IPv4}] = 1
			return h
		}(), "isp2", "isp3"},
		{"nor is a table usable by it", `{ table = "either" }, { uplink = "isp3" }`, spentHealth("isp1", "isp2", "isp3"), "", ""},
		{"nobody carries IPv6", `{ uplink = "isp2" }`, nil, "isp2", ""},
	} {
		t.Run(row.what, func(t *testing.T) {
			p := balanced(t, row.members, "", row.down)
			if got := usableNames(p, plan.IPv4); got != row.usable {
				t.Errorf("%s: IPv4 has %q, not %q", row.what, got, row.usable)
			}
			if got := usableNames(p, plan.IPv6); got != row.usable6 {
				t.Errorf("%s: IPv6 has %q, not %q", row.what, got, row.usable6)
			}
		})
	}
}

// lastRule is what happens to a connection that no member is usable for.
func lastRule(p *plan.Plan) plan.ChainRule {
	for _, ch := range p.Ruleset.Chains {
		if ch.Name == balanceObject("pool", "4") {
			return ch.Rules[len(ch.Rules)-1]
		}
	}
	return plan.ChainRule{}
}

// unmarks reports whether an action takes the packet's mark away.
func unmarks(a plan.Action) bool {
	set, ok := a.(plan.SetMark)
	return ok && set.Value == 0
}

func TestNobodyLives(t *testing.T) {
	t.Run("a strict member leads to its own table", func(t *testing.T) {
		strict := lastRule(balanced(t, `{ uplink = "isp1" }, { table = "only3" }`, "", nil)).Actions
		if len(strict) != 1 || strict[0] != gotoChain("mark-only3") {
			t.Errorf("with a strict member: %+v", strict)
		}
	})
	t.Run("without a strict member the packet is left to default", func(t *testing.T) {
		plain := lastRule(balanced(t, `{ uplink = "isp1" }`, "", nil)).Actions
		if len(plain) != 2 || !unmarks(plain[0]) || plain[1] != accept {
			t.Errorf("without one: %+v", plain)
		}
	})
}

const sticky = "sticky = \"1d\"\n"

// A change of health is one of elements of run-time sets, and of routes; one of weights is one of
// elements of the slots; another order of members is none.
func TestSmallChangesOfABalance(t *testing.T) {
	const members = `{ uplink = "isp1" }, { uplink = "isp2" }, { uplink = "isp3" }`
	for _, rest := range []string{"", sticky, "method = \"random\"\n"} {
		t.Run(rest, func(t *testing.T) {
			have := balanced(t, members, rest, nil)
			c := plan.Diff(have, balanced(t, members, rest, Down(map[string]int{"isp1": 1})))
			if len(c.Chains)+len(c.Rules)+len(c.Counters) > 0 || len(c.Sets) != 2 {
				t.Errorf("%q: a member down changes %+v", rest, c)
			}
			for _, s := range c.Sets {
				if s.Rebuild || len(s.Add) != 0 || len(s.Remove) != 1 {
					t.Errorf("%q: a member down changes set %s: +%d -%d", rest, s.Have.Name, len(s.Add), len(s.Remove))
				}
			}
		})
	}
	t.Run("other weights are elements of the slots", func(t *testing.T) {
		have := balanced(t, members, sticky, nil)
		c := plan.Diff(have, balanced(t, `{ uplink = "isp1", weight = 2 }, { uplink = "isp2" }, { uplink = "isp3" }`, sticky, nil))
		// The heaviest is the first of the last resort.
		if len(c.Chains) > 0 || len(c.Sets) != 1 || c.Sets[0].Rebuild || c.Sets[0].Want.Name != balanceObject("pool", "slots") {
			t.Errorf("other weights change %d chains and %d sets: %+v", len(c.Chains), len(c.Sets), c)
		}
	})
	t.Run("another order of members is nothing", func(t *testing.T) {
		hashed := balanced(t, members, "", nil)
		c := plan.Diff(hashed, balanced(t, `{ uplink = "isp3" }, { uplink = "isp1" }, { uplink = "isp2" }`, "", nil))
		for _, s := range c.Sets {
			t.Errorf("another order of members changes set %s", s.Want.Name)
		}
	})
}

// A sticky map's definition does not depend on members, weights or time: whatever changes there,
// its clients stay.
func TestClientsOutliveMembers(t *testing.T) {
	clients := func(p *plan.Plan) (out []plan.Set) {
		for _, s := range p.Ruleset.Sets {
			if s.Dynamic {
				out = append(out, s)
			}
		}
		return out
	}
	have := clients(balanced(t, `{ uplink = "isp1" }, { uplink = "isp2" }`, sticky, nil))
	want := clients(balanced(t, `{ uplink = "isp3", weight = 7 }, { uplink = "isp1" }`,
		"sticky = \"5m\"\nmethod = \"random\"\n", Down(map[string]int{"isp1": 1})))
	if len(have) != 2 {
		t.Fatalf("%d maps of clients", len(have))
	}
	if c := plan.Diff(&plan.Plan{Ruleset: plan.Ruleset{Sets: have}}, &plan.Plan{Ruleset: plan.Ruleset{Sets: want}}); !c.Empty() {
		t.Errorf("the maps change: %+v", c)
	}
	for _, other := range []string{"sticky = { time = \"1d\", size = 5 }\n", "sticky = { time = \"1d\", prefix6 = 56 }\n"} {
		t.Run(other, func(t *testing.T) {
			want := clients(balanced(t, `{ uplink = "isp1" }, { uplink = "isp2" }`, other, nil))
			c := plan.Diff(&plan.Plan{Ruleset: plan.Ruleset{Sets: have}}, &plan.Plan{Ruleset: plan.Ruleset{Sets: want}})
			if len(c.Sets) == 0 || slices.ContainsFunc(c.Sets, func(s plan.SetChange) bool { return !s.Rebuild }) {
				t.Errorf("%s: rebuilt maps are %+v", other, c.Sets)
			}
		})
	}
}
