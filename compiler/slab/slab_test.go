package slab

import (
	"slices"
	"testing"
)

// TestSlicesAreApart: what is appended to one slice is never in another, beyond its room either.
func TestSlicesAreApart(t *testing.T) {
	t.Parallel()
	var s Of[int]
	var all [][]int
	for i := range 2000 {
		one := s.Take(i % 7)
		if len(one) != 0 || cap(one) != i%7 || (one == nil) != (i%7 == 0) {
			t.Fatalf("room for %d: %d of %d, nil %v", i%7, len(one), cap(one), one == nil)
		}
		for range i%7 + i%2 {
			one = append(one, i)
		}
		all = append(all, one)
	}
	for i, one := range all {
		if want := slices.Repeat([]int{i}, i%7+i%2); !slices.Equal(one, want) {
			t.Fatalf("slice %d is %v", i, one)
		}
	}
}

func TestKeepCopies(t *testing.T) {
	t.Parallel()
	var s Of[int]
	for _, n := range []int{0, 1, 3, most, 2 * most} {
		from := slices.Repeat([]int{n}, n)
		kept := s.Keep(from)
		for i := range from {
			from[i]++
		}
		if want := slices.Repeat([]int{n}, n); !slices.Equal(kept, want) || cap(kept) != n {
			t.Errorf("%d elements, of %d, became %v", n, cap(kept), kept)
		}
	}
}

// TestAllocations: short slices are allocated together.
func TestAllocations(t *testing.T) {
	var s Of[int]
	if n := testing.AllocsPerRun(1000, func() { s.Take(2) }); n > 0.1 {
		t.Errorf("%v allocations for each slice", n)
	}
}
