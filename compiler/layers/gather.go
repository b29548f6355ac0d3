package layers

import "slices"

// maxGathered is how many layers there may be to gather boxes: with more of them a list is hardly
// worse.
const maxGathered = 256

// maxGatherings is how often boxes are moved to later layers: what moves makes room for what comes
// before it.
const maxGatherings = 3

// span is the layers that a box may be in.
type span struct {
	box         int32
	first, last int32
}

// gather moves boxes to later layers, so that those of a shape are in as few as can be: each layer
// that has some costs a look-up. It reports whether to try again: some moved, and those of a shape
// are in several layers still.
//
// All may move at once: a box stays before the later ones it overlaps, where they are now, and
// these only move away from it.
func (b *builder) gather(x *index, a *assignment) (again bool) {
	last := b.latest(x, a)
	moved, gathered := false, true
	spans, ends := make([]span, 0, len(b.boxes)), make([]int, len(b.shapes.list))
	for first, end := range b.shapes.pools() {
		spans = spans[:0]
		for i := first; i < end; i++ {
			for _, n := range b.shapes.boxes(i) {
				if b.mapLayer(a, n) != unplaced {
					spans = append(spans, span{n, a.layer[n], last[n]})
				}
			}
			ends[i] = len(spans)
		}
		// A pool has all shapes of the same fields: first as few layers as can be for all of these,
		// then for each shape.
		points := stab(spans, a.count)
		for i := range spans {
			s := &spans[i]
			if p, ok := slices.BinarySearch(points, s.last); !ok {
				s.last = points[p-1]
			}
		}
		from := 0
		for i := first; i < end; i++ {
			moves, layers := a.gatherShape(spans[from:ends[i]])
			moved, gathered = moved || moves, gathered && layers <= 1
			from = ends[i]
		}
	}
	return moved && !gathered
}

// latest returns the last layer that each box may be in.
func (b *builder) latest(x *index, a *assignment) []int32 {
	// Walked from the end, with layers counted from the end, the index finds the first layer of a
	// later box.
	x.clear()
	end := int32(a.count - 1)
	last := make([]int32, len(b.boxes))
	for i := len(b.items) - 1; i >= 0; i-- {
		it := &b.items[i]
		for n := it.from; n < it.to; n++ {
			if a.layer[n] == unplaced {
				continue
			}
			last[n] = max(a.layer[n], end-x.deepest(&b.boxes[n], unplaced)-1)
		}
		for n := it.from; n < it.to; n++ {
			if a.layer[n] != unplaced {
				x.place(n, end-a.layer[n])
			}
		}
	}
	return last
}

// stab returns the fewest of so many layers of which each span has one.
func stab(spans []span, layers int) (points []int32) {
	// latest has, of the spans that end in a layer, the last first layer.
	latest := make([]int32, layers)
	for i := range latest {
		latest[i] = unplaced
	}
	for i := range spans {
		s := &spans[i]
		latest[s.last] = max(latest[s.last], s.first)
	}
	point := int32(unplaced)
	for layer, first := range latest {
		if first > point {
			point = int32(layer)
			points = append(points, point)
		}
	}
	return points
}

// gatherShape moves boxes of one shape to the fewest layers, each to that which most of them may be
// in: another box, which needs another layer, does not move them then. It returns how many these
// are.
func (a *assignment) gatherShape(spans []span) (moved bool, layers int) {
	points := stab(spans, a.count)
	// Sums of where spans begin and end are how many there are at each point.
	popular := make([]int, len(points)+1)
	for i := range spans {
		s := &spans[i]
		from, to := s.reach(points)
		popular[from]++
		popular[to]--
	}
	for i := range points {
		popular[i+1] += popular[i]
	}
	for i := range spans {
		s := &spans[i]
		best, to := s.reach(points)
		for p := best + 1; p < min(to, best+maxChoices); p++ {
			if popular[p] > popular[best] {
				best = p
			}
		}
		moved = moved || a.layer[s.box] != points[best]
		a.layer[s.box] = points[best]
	}
	return moved, len(points)
}

// maxChoices is how many layers are examined for one box.
const maxChoices = 16

// reach returns which of the points, from up to but not including to, the span has.
func (s *span) reach(points []int32) (from, to int) {
	from, _ = slices.BinarySearch(points, s.first)
	to, _ = slices.BinarySearch(points, s.last+1)
	return from, to
}
