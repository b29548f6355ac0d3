package walk

import (
	"cmp"
	"fmt"
	"slices"

	"pbr/compiler/plan"
)

// set is the index of one set or map.
type set struct {
	plan *plan.Set
	// exact has the elements of a set without intervals, by key.
	exact map[num]int
	// from and to are the elements of a set with intervals, in their order.
	from, to []num
	// words has the elements without intervals whose keys have several fields, by packed key.
	words map[string]int
	// tree has those with intervals.
	tree *tree
	// different are, in a map from numbers, the first elements that lead to each chain: what turn
	// and chance choose from.
	different []int
}

// newSet indexes s. It fails when two elements overlap, or s has what its type has no room for.
func newSet(s *plan.Set) (*set, error) {
	x := &set{plan: s}
	switch {
	case len(s.Concat) > 0:
		return x, x.addTuples()
	case s.Type.Width() == 0:
		return nil, fmt.Errorf("unknown type %v", s.Type)
	}
	return x, x.addElements()
}

func (x *set) addElements() error {
	s := x.plan
	if !s.Interval {
		x.exact = make(map[num]int, len(s.Elements))
	}
	for i := range s.Elements {
		e := &s.Elements[i]
		from, to := numOf(&e.From), numOf(&e.To)
		if to.less(from) || !s.Interval && from != to {
			return fmt.Errorf("element %d: invalid value for this set", i)
		}
		if s.Interval {
			if i > 0 && !x.to[i-1].less(from) {
				return fmt.Errorf("elements %d and %d overlap or are out of order", i-1, i)
			}
			x.from, x.to = append(x.from, from), append(x.to, to)
			continue
		}
		if _, twice := x.exact[from]; twice {
			return fmt.Errorf("element %d is there twice", i)
		}
		x.exact[from] = i
	}
	x.addDifferent()
	return nil
}

func (x *set) addDifferent() {
	if x.plan.Type != plan.TypeNumber {
		return
	}
	seen := map[string]bool{}
	for i := range x.plan.Elements {
		if to := x.plan.Elements[i].Goto; !seen[to] {
			seen[to] = true
			x.different = append(x.different, i)
		}
	}
}

func (x *set) addTuples() error {
	s := x.plan
	width := plan.TupleWidth(s.Concat)
	for i := range s.Tuples {
		if e := &s.Tuples[i]; len(e.From) != width || len(e.To) != width || !s.Interval && e.From != e.To {
			return fmt.Errorf("element %d: invalid value for this set", i)
		}
	}
	if s.Interval {
		t, err := newTree(s)
		x.tree = t
		return err
	}
	x.words = make(map[string]int, len(s.Tuples))
	for i := range s.Tuples {
		if _, twice := x.words[s.Tuples[i].From]; twice {
			return fmt.Errorf("element %d is there twice", i)
		}
		x.words[s.Tuples[i].From] = i
	}
	return nil
}

// find is the index of the element that has the key, -1 if there is none.
func (x *set) find(n num) int {
	if !x.plan.Interval {
		if i, ok := x.exact[n]; ok {
			return i
		}
		return -1
	}
	i, exact := slices.BinarySearchFunc(x.from, n, func(a, b num) int { return a.compare(b) })
	if exact {
		return i
	}
	if i > 0 && !x.to[i-1].less(n) {
		return i - 1
	}
	return -1
}

// findTuple is find for keys of several fields.
func (x *set) findTuple(fields []num) int {
	if x.plan.Interval {
		return x.tree.find(fields)
	}
	var room [plan.MaxTupleWidth]byte
	packed := room[:0]
	for i, t := range x.plan.Concat {
		k := fields[i].key()
		packed = append(packed, k[:4*t.Words()]...)
	}
	if i, ok := x.words[string(packed)]; ok {
		return i
	}
	return -1
}

func (n num) compare(o num) int { return cmp.Or(cmp.Compare(n.hi, o.hi), cmp.Compare(n.lo, o.lo)) }

// counter is what the map's element counts for, empty for nothing.
func (x *set) counter(i int) string {
	if len(x.plan.Concat) > 0 {
		return x.plan.Tuples[i].Counter
	}
	return x.plan.Elements[i].Counter
}

// verdict is where the map's element leads.
func (x *set) verdict(i int) (chain string, jump bool) {
	if len(x.plan.Concat) > 0 {
		return x.plan.Tuples[i].Goto, false
	}
	return x.plan.Elements[i].Goto, x.plan.Elements[i].Jump
}
