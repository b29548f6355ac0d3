package layers

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/race"
)

// manyPolicies is how many the test has; the benchmark has more.
const manyPolicies = 4000

// scale is a long list whose layers are hard to find, each in its own way.
type scale struct {
	name string
	one  func(r *rand.Rand, i, n int) []plan.Match
	// rules is how many there may be of that many policies.
	rules int
}

var scales = []scale{
	{"hosts", func(r *rand.Rand, _, _ int) []plan.Match {
		return []plan.Match{randomNet(r, plan.FieldIPSAddr, 32, 32), value8(plan.FieldL4Proto, 6), port(plan.FieldDPort, 443, 443)}
	}, 1},
	{"networks by networks", func(r *rand.Rand, _, _ int) []plan.Match {
		return []plan.Match{randomNet(r, plan.FieldIPSAddr, 16, 32), randomNet(r, plan.FieldIPDAddr, 16, 32)}
	}, 8},
	{"wide networks and ports", func(r *rand.Rand, _, _ int) []plan.Match {
		a := uint16(r.IntN(60000))
		return []plan.Match{randomNet(r, plan.FieldIPSAddr, 12, 24), randomNet(r, plan.FieldIPDAddr, 12, 24),
			value8(plan.FieldL4Proto, 17), port(plan.FieldDPort, a, a+uint16(r.IntN(500)))}
	}, 20},
	{"ports of everything", func(r *rand.Rand, _, _ int) []plan.Match {
		a, b := uint16(r.IntN(65000)), uint16(r.IntN(65000))
		return []plan.Match{value8(plan.FieldL4Proto, 6), port(plan.FieldSPort, a, a+uint16(r.IntN(200))),
			port(plan.FieldDPort, b, b+uint16(r.IntN(200)))}
	}, 10},
	{"sources, then destinations", func(r *rand.Rand, i, n int) []plan.Match {
		if i < n/2 {
			return []plan.Match{randomNet(r, plan.FieldIPSAddr, 20, 32)}
		}
		return []plan.Match{randomNet(r, plan.FieldIPDAddr, 20, 32)}
	}, 30},
	{"exceptions, hosts, networks, destinations", func(r *rand.Rand, i, n int) []plan.Match {
		switch part := 5 * i / n; {
		case part == 0:
			return []plan.Match{randomNet(r, plan.FieldIPSAddr, 32, 32), randomNet(r, plan.FieldIPDAddr, 16, 32),
				value8(plan.FieldL4Proto, 6), port(plan.FieldDPort, 443, 443)}
		case part < 3:
			return []plan.Match{randomNet(r, plan.FieldIPSAddr, 32, 32)}
		case part == 3:
			return []plan.Match{randomNet(r, plan.FieldIPSAddr, 8, 28)}
		}
		return []plan.Match{randomNet(r, plan.FieldIPDAddr, 16, 32)}
	}, 30},
	// Of these each overlaps all others: nothing is better than the list.
	{"sources and destinations in turn", func(r *rand.Rand, i, _ int) []plan.Match {
		return []plan.Match{randomNet(r, []plan.Field{plan.FieldIPSAddr, plan.FieldIPDAddr}[i%2], 32, 32)}
	}, manyPolicies},
	{"nested", func(_ *rand.Rand, i, _ int) []plan.Match {
		return []plan.Match{{Field: plan.FieldIPSAddr, From: plan.KeyFromUint32(1<<31 - uint32(i)),
			To: plan.KeyFromUint32(1<<31 + uint32(i))}}
	}, manyPolicies},
	{"crossing", func(_ *rand.Rand, i, _ int) []plan.Match {
		return []plan.Match{{Field: plan.FieldIPSAddr, From: plan.KeyFromUint32(uint32(i)), To: plan.KeyFromUint32(1<<31 + uint32(i))}}
	}, manyPolicies},
}

func randomNet(r *rand.Rand, f plan.Field, from, to int) plan.Match {
	n := from + r.IntN(to-from+1)
	low := uint32(10<<24|r.IntN(1<<24)) &^ (1<<(32-n) - 1)
	return plan.Match{Field: f, From: plan.KeyFromUint32(low), To: plan.KeyFromUint32(low | (1<<(32-n) - 1))}
}

func value8(f plan.Field, v uint8) plan.Match {
	return plan.Match{Field: f, From: plan.KeyFromUint8(v), To: plan.KeyFromUint8(v)}
}

func port(f plan.Field, from, to uint16) plan.Match {
	return plan.Match{Field: f, From: plan.KeyFromUint16(from), To: plan.KeyFromUint16(to)}
}

func (s *scale) policies(n int) []Policy {
	r := rand.New(rand.NewPCG(1, 2))
	var out []Policy
	for i := range n {
		out = append(out, Policy{Name: fmt.Sprint(i), Selections: [][]plan.Match{s.one(r, i, n)},
			Body: body(plan.Accept{})})
	}
	return out
}

// A long list becomes few rules where its policies are mostly apart, and no more rules than it has
// where they are not.
func TestManyPolicies(t *testing.T) {
	for _, s := range scales {
		t.Run(s.name, func(t *testing.T) {
			policies := s.policies(manyPolicies)
			r := Build("classify", policies, nil, Cheapest)
			if len(r.Rules) > s.rules {
				t.Errorf("%s: %d rules, more than %d", s.name, len(r.Rules), s.rules)
			}
			elements := 0
			for _, m := range r.Sets {
				elements += len(m.Elements) + len(m.Tuples)
			}
			if elements > len(policies) {
				t.Errorf("%s: %d elements of %d policies", s.name, elements, len(policies))
			}
		})
	}
}

// To find the layer of a box takes few visits, also where it is searched for by other fields than a
// tree is divided by.
func TestVisits(t *testing.T) {
	for _, s := range scales {
		t.Run(s.name, func(t *testing.T) {
			b := &builder{policies: s.policies(race.Cases(4 * manyPolicies))}
			b.expand()
			x, visits := newIndex(b.boxes), 0
			for i := range b.boxes {
				layer := x.deepest(&b.boxes[i], unplaced) + 1
				visits += x.visits
				x.place(int32(i), layer)
			}
			if each := visits / len(b.boxes); each > 50 {
				t.Errorf("%s: %d visits for each of %d boxes", s.name, each, len(b.boxes))
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, s := range scales {
		b.Run(s.name, func(b *testing.B) {
			policies := s.policies(100_000)
			for b.Loop() {
				Build("classify", policies, nil, Cheapest)
			}
		})
	}
}
