package layers

import (
	"maps"
	"slices"

	"pbr/compiler/sorting"
)

// shapes are those that boxes have, in their order: those of the same family and fields are next to
// each other.
type shapes struct {
	list []shape
	// order has the boxes by their shapes, in their order; those of shape i end before ends[i].
	order []int32
	ends  []int32
}

// shapesOf finds the shapes of boxes.
func shapesOf(boxes []box) *shapes {
	s := &shapes{order: make([]int32, len(boxes))}
	places, of := map[shape]int32{}, make([]int32, len(boxes))
	var last shape
	for n := range boxes {
		// Boxes of the same shape often follow each other.
		one := boxes[n].shape()
		if n > 0 && one == last {
			of[n] = of[n-1]
			continue
		}
		place, known := places[one]
		if !known {
			place = int32(len(places))
			places[one] = place
		}
		of[n], last = place, one
	}
	s.list = slices.Collect(maps.Keys(places))
	sorting.Func(s.list, shape.compare)
	s.fill(of, places)
	return s
}

// fill sorts boxes by their shapes: each is of the one that has its place.
func (s *shapes) fill(of []int32, places map[shape]int32) {
	count := make([]int32, len(places))
	for _, place := range of {
		count[place]++
	}
	next, end := make([]int32, len(places)), int32(0)
	for _, one := range s.list {
		place := places[one]
		next[place] = end
		end += count[place]
		s.ends = append(s.ends, end)
	}
	for n, place := range of {
		s.order[next[place]] = int32(n)
		next[place]++
	}
}

// boxes are those of shape i.
func (s *shapes) boxes(i int) []int32 { return s.order[s.begin(i):s.ends[i]] }

func (s *shapes) begin(i int) int32 {
	if i == 0 {
		return 0
	}
	return s.ends[i-1]
}

// pools yields the places of shapes of the same family and fields, from first up to but not
// including end.
func (s *shapes) pools() func(yield func(first, end int) bool) {
	return func(yield func(first, end int) bool) {
		for first, end := 0, 1; first < len(s.list); first, end = end, end+1 {
			for end < len(s.list) && s.list[end].family == s.list[first].family && s.list[end].fields == s.list[first].fields {
				end++
			}
			if !yield(first, end) {
				return
			}
		}
	}
}
