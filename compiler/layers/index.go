package layers

import (
	"slices"

	"pbr/compiler/plan"
)

const (
	// leafBoxes is how many boxes a leaf of a tree has.
	leafBoxes = 8
	// maxVisits bounds one search. Where it ends early the answer is a layer that is deep enough,
	// not the lowest one.
	maxVisits = 20_000
	// unplaced is the layer of a box that has none yet.
	unplaced = -1
)

// index finds, of the boxes that were placed in layers, those that overlap or contain another. All
// boxes are known from the start: each of its trees is divided evenly once, and only learns the
// layers as boxes are placed.
type index struct {
	boxes []box
	// layer is each box's.
	layer  []int32
	trees  []*tree
	leafOf []leaf
	visits int
	// asked is what is searched by.
	asked question
}

// question is a box as a tree is searched by it: its intervals in fields that the tree has, too.
type question struct {
	*box
	n      int
	places [dimCount]int
	spans  [dimCount]*keySpan
}

// leaf is the place of a box in a tree.
type leaf struct {
	tree *tree
	node int32
}

// tree has the boxes of a family that have an interval in the same fields.
type tree struct {
	family plan.Family
	fields dimSet
	order  []int32
	nodes  []node
	// bounds has, for each node, an interval in each of the fields.
	bounds []keySpan
}

// node is a part of a tree's boxes.
type node struct {
	// deepest is the highest layer of the boxes in it, unplaced if none is.
	deepest int32
	parent  int32
	// child is the first of two nodes, one after the other; 0 in a leaf, which has boxes
	// order[from:to].
	child    int32
	from, to int32
}

func newIndex(boxes []box) *index {
	x := &index{boxes: boxes, layer: make([]int32, len(boxes)), leafOf: make([]leaf, len(boxes))}
	type kind struct {
		family plan.Family
		fields dimSet
	}
	byKind := map[kind]*tree{}
	for i := range boxes {
		x.layer[i] = unplaced
		k := kind{boxes[i].family, boxes[i].fields}
		t := byKind[k]
		if t == nil {
			t = &tree{family: k.family, fields: k.fields}
			byKind[k] = t
			x.trees = append(x.trees, t)
		}
		t.order = append(t.order, int32(i))
	}
	for _, t := range x.trees {
		t.nodes = make([]node, 0, nodesFor(len(t.order)))
		t.bounds = make([]keySpan, 0, cap(t.nodes)*t.fields.count())
		t.nodes = append(t.nodes, node{deepest: unplaced, parent: -1, to: int32(len(t.order))})
		for n := int32(0); n < int32(len(t.nodes)); n++ {
			t.divide(boxes, n)
			if nd := &t.nodes[n]; nd.child == 0 {
				for _, b := range t.order[nd.from:nd.to] {
					x.leafOf[b] = leaf{t, n}
				}
			}
		}
	}
	return x
}

// nodesFor is how many nodes a tree of so many boxes has.
func nodesFor(boxes int) int {
	if boxes <= leafBoxes {
		return 1
	}
	return 1 + nodesFor(boxes/2) + nodesFor(boxes-boxes/2)
}

// divide gives a node its bounds, and two children if it has many boxes.
func (t *tree) divide(boxes []box, n int32) {
	nd := &t.nodes[n]
	all := t.order[nd.from:nd.to]
	for i := range t.fields.count() {
		bound := boxes[all[0]].in[i]
		for _, b := range all[1:] {
			in := &boxes[b].in[i]
			if in.From.less(bound.From) {
				bound.From = in.From
			}
			if bound.To.less(in.To) {
				bound.To = in.To
			}
		}
		t.bounds = append(t.bounds, bound)
	}
	if len(all) <= leafBoxes || t.fields == 0 {
		return
	}
	i := t.mostDistinct(boxes, all)
	slices.SortFunc(all, func(a, b int32) int { return boxes[a].in[i].From.compare(boxes[b].in[i].From) })
	nd.child = int32(len(t.nodes))
	middle := nd.from + int32(len(all)/2)
	halves := [2][2]int32{{nd.from, middle}, {middle, nd.to}}
	for _, h := range halves {
		t.nodes = append(t.nodes, node{deepest: unplaced, parent: n, from: h[0], to: h[1]})
	}
}

// mostDistinct returns the place of the field in which the boxes begin in the most different
// places, as far as a sample tells.
func (t *tree) mostDistinct(boxes []box, all []int32) int {
	const sample = 32
	best, most := 0, 0
	for place := range t.fields.count() {
		var room [sample]value
		seen := room[:0]
		for i := range sample {
			v := boxes[all[i*len(all)/sample]].in[place].From
			if !slices.Contains(seen, v) {
				seen = append(seen, v)
			}
		}
		if len(seen) > most {
			best, most = place, len(seen)
		}
	}
	return best
}

// clear takes all boxes out of their layers.
func (x *index) clear() {
	for i := range x.layer {
		x.layer[i] = unplaced
	}
	for _, t := range x.trees {
		for n := range t.nodes {
			t.nodes[n].deepest = unplaced
		}
	}
}

// place puts a box into a layer.
func (x *index) place(b, layer int32) {
	x.layer[b] = layer
	at := x.leafOf[b]
	nodes := at.tree.nodes
	for n := at.node; n >= 0 && nodes[n].deepest < layer; n = nodes[n].parent {
		nodes[n].deepest = layer
	}
}

// ask makes q what the tree is searched by.
func (x *index) ask(t *tree, q *box) {
	s := &x.asked
	s.box, s.n = q, 0
	for common := t.fields & q.fields; common != 0; common = common.rest() {
		d := common.first()
		s.places[s.n], s.spans[s.n] = t.fields.rank(d), q.span(d)
		s.n++
	}
}

// deepest returns the highest layer, above least, of the boxes that overlap q; least if there is
// none.
func (x *index) deepest(q *box, least int32) int32 {
	x.visits = 0
	x.deepestFirst()
	for _, t := range x.trees {
		if t.nodes[0].deepest > least && sameFamily(t.family, q.family) {
			x.ask(t, q)
			least = x.deepestIn(t, 0, least)
		}
	}
	return least
}

// deepestFirst sorts the trees by their deepest boxes: what the first answer spares a search of the
// others, above all of those that are divided by fields that are not searched by. They are few, and
// a box placed moves one at most.
func (x *index) deepestFirst() {
	for i, t := range x.trees {
		for n := i; n > 0 && x.trees[n-1].nodes[0].deepest < t.nodes[0].deepest; n-- {
			x.trees[n], x.trees[n-1] = x.trees[n-1], t
		}
	}
}

func (x *index) deepestIn(t *tree, n, least int32) int32 {
	nd := &t.nodes[n]
	if nd.deepest <= least {
		return least
	}
	meets, within := x.asked.compare(t.boundsOf(n))
	if !meets {
		return least
	}
	x.visits++
	if x.visits > maxVisits || within {
		return nd.deepest
	}
	if nd.child == 0 {
		for _, b := range t.order[nd.from:nd.to] {
			if x.layer[b] > least && x.boxes[b].meets(x.asked.box) {
				least = x.layer[b]
			}
		}
		return least
	}
	first, second := nd.child, nd.child+1
	if t.nodes[first].deepest < t.nodes[second].deepest {
		first, second = second, first
	}
	least = x.deepestIn(t, first, least)
	return x.deepestIn(t, second, least)
}

// covered reports whether one exact box contains q. It may say no if the search is long.
func (x *index) covered(q *box) bool {
	x.visits = 0
	for _, t := range x.trees {
		if t.nodes[0].deepest == unplaced || t.fields&^q.fields != 0 || t.family != 0 && t.family != q.family {
			continue
		}
		if x.ask(t, q); x.coveredIn(t, 0) {
			return true
		}
	}
	return false
}

func (x *index) coveredIn(t *tree, n int32) bool {
	nd := &t.nodes[n]
	x.visits++
	if nd.deepest == unplaced || x.visits > maxVisits || !x.asked.isIn(t.boundsOf(n)) {
		return false
	}
	if nd.child != 0 {
		return x.coveredIn(t, nd.child) || x.coveredIn(t, nd.child+1)
	}
	return slices.ContainsFunc(t.order[nd.from:nd.to], func(b int32) bool {
		return x.layer[b] != unplaced && x.boxes[b].exact && x.boxes[b].contains(x.asked.box)
	})
}

// boundsOf are the bounds of a node.
func (t *tree) boundsOf(n int32) []keySpan {
	k := t.fields.count()
	return t.bounds[int(n)*k : int(n+1)*k]
}

// compare reports whether boxes within bounds may overlap what is asked about, and whether all of
// them do because it reaches around them.
func (s *question) compare(bounds []keySpan) (meets, within bool) {
	within = true
	for i := range s.n {
		bound, in := &bounds[s.places[i]], s.spans[i]
		if !bound.meets(in) {
			return false, false
		}
		within = within && in.contains(bound)
	}
	return true, within
}

// isIn reports whether boxes within bounds may contain what is asked about.
func (s *question) isIn(bounds []keySpan) bool {
	for i := range s.n {
		if !bounds[s.places[i]].contains(s.spans[i]) {
			return false
		}
	}
	return true
}
