package layers

import (
	"cmp"
	"slices"
)

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
// that has some costs a look-up. It reports whether any moved.
//
// All may move at once: a box stays before the later ones it overlaps, where they are now, and
// these only move away from it.
func (b *builder) gather(x *index, a *assignment) bool {
	last := b.latest(x, a)
	byFields := map[shape][]span{}
	for n := range b.boxes {
		if a.layer[n] != unplaced && !b.items[b.boxes[n].item].rule {
			key := shape{family: b.boxes[n].family, fields: b.boxes[n].fields}
			byFields[key] = append(byFields[key], span{int32(n), a.layer[n], last[n]})
		}
	}
	moved := false
	for _, spans := range byFields {
		// A pool has all shapes of the same fields: first as few layers as can be for all of these,
		// then for each shape.
		points := stab(spans)
		byShape := map[shape][]span{}
		for _, s := range spans {
			if i, ok := slices.BinarySearch(points, s.last); !ok {
				s.last = points[i-1]
			}
			key := b.boxes[s.box].shape()
			byShape[key] = append(byShape[key], s)
		}
		for _, same := range byShape {
			moved = a.gatherShape(same) || moved
		}
	}
	return moved
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

// stab returns the fewest layers of which each span has one.
func stab(spans []span) (points []int32) {
	slices.SortFunc(spans, func(s, o span) int { return cmp.Or(cmp.Compare(s.last, o.last), cmp.Compare(s.box, o.box)) })
	for _, s := range spans {
		if len(points) == 0 || points[len(points)-1] < s.first {
			points = append(points, s.last)
		}
	}
	return points
}

// gatherShape moves boxes of one shape to the fewest layers, each to that which most of them may be
// in: another box, which needs another layer, does not move them then.
func (a *assignment) gatherShape(spans []span) (moved bool) {
	points := stab(spans)
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
	return moved
}

// maxChoices is how many layers are examined for one box.
const maxChoices = 16

// reach returns which of the points, from up to but not including to, the span has.
func (s *span) reach(points []int32) (from, to int) {
	from, _ = slices.BinarySearch(points, s.first)
	to, _ = slices.BinarySearch(points, s.last+1)
	return from, to
}
