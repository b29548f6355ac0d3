package layers

import "slices"

// assignment is what happens to the boxes.
type assignment struct {
	// layer is each box's; unplaced if an earlier box covers it.
	layer []int32
	// count is how many layers there are.
	count int
}

// assign puts every box into a layer: one after the deepest that an earlier box it overlaps is in,
// or a later one where boxes of its shape are. The boxes of a rule are all in one.
func (b *builder) assign() *assignment {
	x := newIndex(b.boxes)
	a := &assignment{layer: x.layer}
	for i := range b.items {
		it := &b.items[i]
		if it.rule {
			a.placeRule(x, it)
			continue
		}
		for n := it.from; n < it.to; n++ {
			if box := &b.boxes[n]; !x.covered(box) {
				a.place(x, n, x.deepest(box, unplaced)+1)
			}
		}
	}
	a.layer = slices.Clone(a.layer)
	for n := 0; n < maxGatherings && a.count > 1 && a.count <= maxGathered && b.gather(x, a); n++ {
	}
	return a
}

// placeRule puts a rule after everything before it that it may overlap, unless all that it selects
// is covered.
func (a *assignment) placeRule(x *index, it *item) {
	deepest, covered := int32(unplaced), true
	for n := it.from; n < it.to; n++ {
		covered = covered && x.covered(&x.boxes[n])
		deepest = x.deepest(&x.boxes[n], deepest)
	}
	for n := it.from; n < it.to && !covered; n++ {
		a.place(x, n, deepest+1)
	}
}

func (a *assignment) place(x *index, box, layer int32) {
	x.place(box, layer)
	a.count = max(a.count, int(layer)+1)
}
