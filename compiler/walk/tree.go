package walk

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// leafSize is how many elements are examined one by one. A split has to leave at most 7/8 of the
// elements on either side, and copies (elements on both sides) may make the tree maxCopies times as
// big as the set.
const (
	leafSize  = 8
	maxCopies = 32
)

// tree finds the element of several intervals that a key is in: a decision tree over the fields
// (HyperSplit, Qi et al., INFOCOM 2009), in which each node asks whether one field is below a
// bound.
type tree struct {
	fields   int
	from, to []num // of element i's field f at i*fields+f
	nodes    []node
	leaves   []int32
	copies   int
}

// node is a question, or a leaf (field -1) whose elements are leaves[left:right].
type node struct {
	bound       num
	field       int32
	left, right int32
}

func newTree(s *plan.Set) (*tree, error) {
	t := &tree{fields: len(s.Concat)}
	all := make([]int32, len(s.Tuples))
	for i := range s.Tuples {
		all[i] = int32(i)
		for _, sp := range s.Tuples[i].Spans(s.Concat) {
			from, to := numOf(&sp.From), numOf(&sp.To)
			if to.less(from) {
				return nil, fmt.Errorf("element %d ends before it begins", i)
			}
			t.from, t.to = append(t.from, from), append(t.to, to)
		}
	}
	if _, err := t.grow(all); err != nil {
		return nil, err
	}
	return t, nil
}

// grow makes the node for the elements and all below it.
func (t *tree) grow(elements []int32) (int32, error) {
	at := int32(len(t.nodes))
	t.nodes = append(t.nodes, node{field: -1})
	field, bound, ok := t.split(elements)
	if !ok {
		if err := t.checkDisjoint(elements); err != nil {
			return 0, err
		}
		t.nodes[at].left = int32(len(t.leaves))
		t.leaves = append(t.leaves, elements...)
		t.nodes[at].right = int32(len(t.leaves))
		return at, nil
	}
	var below, above []int32
	for _, e := range elements {
		i := int(e)*t.fields + field
		if t.from[i].less(bound) {
			below = append(below, e)
		}
		if !t.to[i].less(bound) {
			above = append(above, e)
		}
	}
	t.copies += len(below) + len(above) - len(elements)
	left, err := t.grow(below)
	if err != nil {
		return 0, err
	}
	right, err := t.grow(above)
	if err != nil {
		return 0, err
	}
	t.nodes[at] = node{bound, int32(field), left, right}
	return at, nil
}

// split picks the field and the bound that leave the fewest elements on the fuller side; of each
// field the median of where intervals begin and end is tried.
func (t *tree) split(elements []int32) (field int, bound num, ok bool) {
	if len(elements) <= leafSize || t.copies > maxCopies*len(t.from)/t.fields {
		return 0, num{}, false
	}
	best := len(elements) - len(elements)/8
	starts := make([]num, 0, 2*len(elements)) // where a side begins
	for f := range t.fields {
		starts = starts[:0]
		for _, e := range elements {
			starts = append(starts, t.from[int(e)*t.fields+f])
			if end := t.to[int(e)*t.fields+f]; end != (num{^uint64(0), ^uint64(0)}) {
				starts = append(starts, end.next())
			}
		}
		sorting.Func(starts, num.compare)
		middle := starts[len(starts)/2]
		if middle == starts[0] { // nothing is below it
			next, _ := slices.BinarySearchFunc(starts, middle.next(), num.compare)
			if next == len(starts) {
				continue
			}
			middle = starts[next]
		}
		below, above := 0, 0
		for _, e := range elements {
			i := int(e)*t.fields + f
			if t.from[i].less(middle) {
				below++
			}
			if !t.to[i].less(middle) {
				above++
			}
		}
		if fuller := max(below, above); fuller < best {
			field, bound, ok, best = f, middle, true, fuller
		}
	}
	return field, bound, ok
}

func (n num) next() num {
	if n.lo++; n.lo == 0 {
		n.hi++
	}
	return n
}

// checkDisjoint fails if two elements have a key in common. Two that do share a leaf.
func (t *tree) checkDisjoint(elements []int32) error {
	for i, a := range elements {
		for _, b := range elements[:i] {
			if t.overlap(int(a), int(b)) {
				return fmt.Errorf("elements %d and %d overlap", min(a, b), max(a, b))
			}
		}
	}
	return nil
}

func (t *tree) overlap(a, b int) bool {
	for f := range t.fields {
		i, j := a*t.fields+f, b*t.fields+f
		if t.to[i].less(t.from[j]) || t.to[j].less(t.from[i]) {
			return false
		}
	}
	return true
}

// find is the index of the element that the key is in, -1 if there is none.
func (t *tree) find(key []num) int {
	n := &t.nodes[0]
	for n.field >= 0 {
		if key[n.field].less(n.bound) {
			n = &t.nodes[n.left]
		} else {
			n = &t.nodes[n.right]
		}
	}
	for _, e := range t.leaves[n.left:n.right] {
		if t.has(int(e), key) {
			return int(e)
		}
	}
	return -1
}

func (t *tree) has(e int, key []num) bool {
	for f, k := range key {
		i := e*t.fields + f
		if !k.within(t.from[i], t.to[i]) {
			return false
		}
	}
	return true
}
