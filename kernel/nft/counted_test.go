//go:build linux

package nft

import (
	"maps"
	"slices"
	"testing"

	"pbr/compiler/plan"
)

// countedRuleset has a map of each kind whose elements count for some names, and named counters.
func countedRuleset(chain string, named ...string) *plan.Ruleset {
	r, _ := wide()
	r.Chains = slices.DeleteFunc(r.Chains, func(c plan.Chain) bool { return c.Hook != "" })
	r.Chains[2].Rules = nil
	r.Counters = nil
	for _, name := range named {
		r.Counters = append(r.Counters, plan.Counter{Name: name})
	}
	r.Sets = slices.DeleteFunc(r.Sets, func(s plan.Set) bool { return !s.Counted })
	for i := range r.Sets {
		for j := range r.Sets[i].Elements {
			r.Sets[i].Elements[j].Goto = chain
		}
		for j := range r.Sets[i].Tuples {
			r.Sets[i].Tuples[j].Goto = chain
		}
	}
	return r
}

// setCounts gives the elements of countedRuleset counts, as packets would: web 1+20+300+4000, x 7.
const setCounts = `
add element inet pbr h4 { 10.0.0.1 counter packets 1 bytes 10 comment "policy-web" : goto m1 }
add element inet pbr h4i { 10.0.0.0/24 counter packets 20 bytes 10 comment "policy-web" : goto m1, 192.0.0.0-255.255.255.255 counter packets 7 bytes 10 comment "policy-x" : goto m1 }
add element inet pbr ht { 10.0.0.1 . 53 counter packets 300 bytes 10 comment "policy-web" : goto m1 }
add element inet pbr hti { 10.0.0.0/8 . 53-60 counter packets 4000 bytes 10 comment "policy-web" : goto m1 }
`

// What was counted for a name stays when the elements that count for it lead elsewhere, come into
// another map or a map recreated, or when a named counter takes over from them, or they from it.
func TestCountsStay(t *testing.T) {
	t.Parallel()
	moved := countedRuleset("m1")
	moved.Sets[0].Elements = moved.Sets[0].Elements[1:]
	moved.Sets[1].Elements[0].From, moved.Sets[1].Elements[0].To = addr("10.9.0.0"), addr("10.9.0.255")
	remade := countedRuleset("m1")
	for i := range remade.Sets {
		remade.Sets[i].Comment = "rebuilt"
	}
	gone := countedRuleset("m1", "policy-web")
	gone.Sets = gone.Sets[1:2]
	gone.Sets[0].Elements = gone.Sets[0].Elements[1:]
	for name, want := range map[string]*plan.Ruleset{
		"another chain": countedRuleset("m2"), "other elements": moved, "rebuilt maps": remade, "a named counter": gone,
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetns(t)
			empty := countedRuleset("m1")
			for i := range empty.Sets {
				empty.Sets[i].Elements, empty.Sets[i].Tuples = nil, nil
			}
			n.apply(empty)
			n.load(setCounts)
			packets := func(when string) {
				t.Helper()
				got, err := n.conn.Packets()
				if err != nil {
					t.Fatal(err)
				}
				if want := map[string]uint64{"policy-web": 4321, "policy-x": 7}; !maps.Equal(got, want) {
					t.Errorf("%s, %s: counted %v, not %v", name, when, got, want)
				}
			}
			packets("before")
			n.apply(want)
			packets("afterwards")
			n.apply(countedRuleset("m1"))
			packets("and back")
		})
	}
}
