package layers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/race"
)

// changed counts the rules, elements and chains that differ between two results.
func changed(a, b *Result) (n int) {
	entries := func(r *Result) map[string]bool {
		all := map[string]bool{}
		for i := range r.Rules {
			all[fmt.Sprintf("rule %v", r.Rules[i])] = true
		}
		for _, s := range r.Sets {
			all[fmt.Sprintf("map %s %v %v %v", s.Name, s.Type, s.Concat, s.Interval)] = true
			for _, e := range s.Elements {
				all[fmt.Sprintf("%s %v", s.Name, e)] = true
			}
			for _, e := range s.Tuples {
				all[fmt.Sprintf("%s %v", s.Name, e)] = true
			}
		}
		for _, c := range r.Chains {
			all["chain "+c.Name] = true
		}
		return all
	}
	have, want := entries(a), entries(b)
	for e := range have {
		if !want[e] {
			n++
		}
	}
	for e := range want {
		if !have[e] {
			n++
		}
	}
	return n
}

// One policy more, less or different changes few elements: hosts with exceptions before them and
// networks after them.
func TestSmallEditsAreSmall(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var list []Policy
	add := func(kind string, n int, matches func() []plan.Match) {
		for i := range n {
			list = append(list, Policy{Name: fmt.Sprint(kind, i), Selections: [][]plan.Match{matches()},
				Body: body(plan.Accept{})})
		}
	}
	web := func() []plan.Match {
		return []plan.Match{randomNet(r, plan.FieldIPSAddr, 32, 32), value8(plan.FieldL4Proto, 6), port(plan.FieldDPort, 443, 443)}
	}
	add("web", 300, web)
	add("host", 300, func() []plan.Match { return []plan.Match{randomNet(r, plan.FieldIPSAddr, 32, 32)} })
	add("net", 300, func() []plan.Match { return []plan.Match{randomNet(r, plan.FieldIPSAddr, 20, 28)} })
	add("to", 300, func() []plan.Match { return []plan.Match{randomNet(r, plan.FieldIPDAddr, 24, 24)} })
	before := Build("classify", list, nil, Cheapest)
	for range race.Cases(40) {
		at := r.IntN(len(list))
		edited := slices.Clone(list)
		switch r.IntN(3) {
		case 0:
			edited = slices.Delete(edited, at, at+1)
		case 1:
			one := list[r.IntN(len(list))]
			one.Name = "new"
			one.Selections = [][]plan.Match{web()}
			edited = slices.Insert(edited, r.IntN(300), one)
		case 2:
			// Among destinations a source would part them: those before it have to stay before.
			edited[at%900].Selections = [][]plan.Match{{randomNet(r, plan.FieldIPSAddr, 32, 32)}}
		}
		if n := changed(before, Build("classify", edited, nil, Cheapest)); n > 40 {
			t.Errorf("an edit of one policy changes %d of %d elements", n, len(list))
		}
	}
}
