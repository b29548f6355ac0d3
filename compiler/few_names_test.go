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
			set := hasSet(p, setMasq)
			if want := n > fewUplinks; set != want || looksUp != want || want && len(rules) != 1 || !want && len(rules) != n {
				t.Errorf("%d uplinks masquerade by %+v, with a set: %v; prerouting looks uplinks up: %v", n, rules, set, looksUp)
			}
		})
	}
}

func hasSet(p *plan.Plan, name string) bool {
	return slices.ContainsFunc(p.Ruleset.Sets, func(s plan.Set) bool { return s.Name == name })
}

// A few uplinks to pin to are compared, that of default last, and have no map; more are looked up.
func TestFewPinsAreCompared(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, fewUplinks, fewUplinks + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			p := compiledText(t, uplinksBy(n))
			for _, pins := range []struct {
				chain, set, prefix string
				field              plan.Field
			}{
				{chainFromUplink, mapPins, prefixPin, plan.FieldIIFName},
				{"postrouting", mapExits, prefixExit, plan.FieldOIFName},
			} {
				rules := chainOf(p, pins.chain).Rules
				if n > fewUplinks {
					last := rules[len(rules)-1].Actions[0]
					if want := (plan.VMap{Field: pins.field, Set: pins.set}); last != want || !hasSet(p, pins.set) {
						t.Errorf("chain %s ends with %+v, not %+v", pins.chain, last, want)
					}
					continue
				}
				var to []string
				for _, r := range rules[len(rules)-n:] {
					m := r.Matches[0]
					chain := r.Actions[0].(plan.Goto).Chain
					if m.Field != pins.field || strings.Replace(m.From.Text(), "wan", pins.prefix+"isp", 1) != chain {
						t.Errorf("chain %s has rule %+v", pins.chain, r)
					}
					to = append(to, chain)
				}
				if to[n-1] != pins.prefix+"isp1" || hasSet(p, pins.set) {
					t.Errorf("chain %s goes to %q; there is a map: %v", pins.chain, to, hasSet(p, pins.set))
				}
			}
		})
	}
}
