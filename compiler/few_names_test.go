package compiler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// A few uplinks are compared with, more are looked up.
func TestFewUplinksAreCompared(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, fewUplinks, fewUplinks + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			var uplinks []string
			for i := range n {
				uplinks = append(uplinks,
					fmt.Sprintf(`{ name = "isp%d", interface = "wan%d", gateway = "192.0.2.%d", nat = "masquerade" }`, i, i, i+1))
			}
			p := compiledText(t, "uplink = ["+strings.Join(uplinks, ", ")+"]\ndefault = { routes = { uplink = \"isp0\" } }\n")
			rules := chainOf(p, "source-nat").Rules
			looksUp := slices.Contains(lookUps(chainOf(p, "prerouting")), setUplinks)
			set := slices.ContainsFunc(p.Ruleset.Sets, func(s plan.Set) bool { return s.Name == setMasq })
			if want := n > fewUplinks; set != want || looksUp != want || want && len(rules) != 1 || !want && len(rules) != n {
				t.Errorf("%d uplinks masquerade by %+v, with a set: %v; prerouting looks uplinks up: %v", n, rules, set, looksUp)
			}
		})
	}
}
