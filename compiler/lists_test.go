package compiler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

const twoUplinks = `
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
gateway6 = "2001:db8::1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
gateway6 = "2001:db8:1::1"
nat = "masquerade"
[default]
routes = [{ uplink = "isp1" }]
`

func chainOf(p *plan.Plan, name string) *plan.Chain {
	i := slices.IndexFunc(p.Ruleset.Chains, func(c plan.Chain) bool { return c.Name == name })
	if i < 0 {
		return &plan.Chain{}
	}
	return &p.Ruleset.Chains[i]
}

// lookUps are the sets that the rules of a chain look into, in their order, with "!" before those
// that must not hold the value.
func lookUps(c *plan.Chain) (out []string) {
	for _, r := range c.Rules {
		var sets []string
		for _, m := range r.Matches {
			if m.Set != "" && m.Not {
				sets = append(sets, "!"+m.Set)
			} else if m.Set != "" {
				sets = append(sets, m.Set)
			}
		}
		out = append(out, strings.Join(sets, " "))
	}
	return out
}

// TestRunTimeListsAreSets compiles lists that get members at run time: a set for each IP version,
// whatever else is in the list, and whether or not a policy uses it.
func TestRunTimeListsAreSets(t *testing.T) {
	p := compiledText(t, `
[lists]
films   = { domains = ["example.com"], size = 100 }
blocked = ["192.0.2.0/24", "2001:db8:7::1", { dynamic = true, size = 7 }, { domains = ["example.net"], size = 5 }]
unused  = { dynamic = true }
[[policy]]
name = "films"
dst = "@films"
uplink = "isp2"
strict = false
[[policy]]
name = "but"
src = ["10.0.0.0/8", "2001:db8:10::/48", "!@blocked"]
uplink = "isp2"
strict = false
[[policy]]
name = "blocked"
dst = "@blocked"
ipv = 4
uplink = "isp1"
strict = true
`+twoUplinks)
	t.Run("each is a set of its version, with its fixed members in another", func(t *testing.T) {
		var got []string
		for _, s := range p.Ruleset.Sets {
			if strings.HasPrefix(s.Name, "list-") {
				got = append(got, fmt.Sprintf("%s %s runtime=%v interval=%v size=%d elements=%d", s.Name, s.TypeName(),
					s.RunTime, s.Interval, s.Size, len(s.Elements)))
			}
		}
		want := []string{
			"list-blocked-4 ipv4_addr runtime=true interval=true size=48 elements=0",
			"list-blocked-6 ipv6_addr runtime=true interval=true size=48 elements=0",
			"list-blocked/fixed-4 ipv4_addr runtime=false interval=true size=0 elements=1",
			"list-blocked/fixed-6 ipv6_addr runtime=false interval=false size=0 elements=1",
			"list-films-4 ipv4_addr runtime=true interval=false size=100 elements=0",
			"list-films-6 ipv6_addr runtime=true interval=false size=100 elements=0",
			"list-unused-4 ipv4_addr runtime=true interval=true size=262144 elements=0",
			"list-unused-6 ipv6_addr runtime=true interval=true size=262144 elements=0",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
	t.Run("the policies look into both", func(t *testing.T) {
		rules := []string{"list-films-4", "list-films-6", "!list-blocked-4 !list-blocked/fixed-4",
			"!list-blocked-6 !list-blocked/fixed-6", "list-blocked-4", "list-blocked/fixed-4"}
		if got := lookUps(chainOf(p, chainClassify)); !slices.Equal(got, rules) {
			t.Errorf("the policies look into\n%q, want\n%q", got, rules)
		}
	})
}

// TestRunTimeListBeforeManyPolicies has a list of domains in front of policies that are maps: it
// costs a packet one look-up, and the policies behind it are in the maps that they would be in
// without it.
func TestRunTimeListBeforeManyPolicies(t *testing.T) {
	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, "[[policy]]\nname = \"host-%d\"\nsrc = \"10.1.%d.%d\"\nuplink = \"isp2\"\nstrict = false\n", i, i/250, i%250)
	}
	films := "[lists]\nfilms = { domains = [\"example.com\"] }\n[[policy]]\nname = \"films\"\ndst = \"@films\"\n" +
		"uplink = \"isp1\"\nstrict = true\n"
	without, with := compiledText(t, many.String()+twoUplinks), compiledText(t, films+many.String()+twoUplinks)
	rules, all := chainOf(without, chainClassify).Rules, chainOf(with, chainClassify).Rules
	if len(rules) != 1 || len(all) != 3 {
		t.Fatalf("%d and %d rules, want 1 and 3: %q", len(rules), len(all), lookUps(chainOf(with, chainClassify)))
	}
	if got := lookUps(chainOf(with, chainClassify)); !slices.Equal(got, []string{"list-films-4", "list-films-6", ""}) ||
		!rules[0].Equal(&all[2]) {
		t.Errorf("rules look into %q, want the list and then the maps", got)
	}
}
