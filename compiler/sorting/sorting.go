// Package sorting sorts lists. slices.SortFunc is compiled again for every type that it sorts, 13
// KB of the program each. Here the places in a list are sorted, by code that is compiled once, and
// then every entry is moved to its place; for long entries that is faster, too.
package sorting

import (
	"reflect"
	"slices"
)

// Func sorts list as slices.SortStableFunc does: what compares equal keeps its order.
func Func[T any](list []T, compare func(a, b T) int) {
	if places := order(len(list), func(a, b int32) int { return compare(list[a], list[b]) }); places != nil {
		arrange(places, reflect.Swapper(list))
	}
}

// order returns the place at which each entry of a sorted list is before that; nil if all are in
// order.
func order(length int, compare func(a, b int32) int) []int32 {
	if inOrder(length, compare) {
		return nil
	}
	places := make([]int32, length)
	for i := range places {
		places[i] = int32(i)
	}
	slices.SortFunc(places, func(a, b int32) int {
		if c := compare(a, b); c != 0 {
			return c
		}
		return int(a - b)
	})
	return places
}

func inOrder(length int, compare func(a, b int32) int) bool {
	for i := 1; i < length; i++ {
		if compare(int32(i-1), int32(i)) > 0 {
			return false
		}
	}
	return true
}

// arrange moves entries to where order puts them, ring by ring, and uses up places.
func arrange(places []int32, swap func(i, j int)) {
	for first := range places {
		for at := first; ; {
			from := int(places[at])
			places[at] = int32(at)
			if from == first {
				break
			}
			swap(at, from)
			at = from
		}
	}
}
