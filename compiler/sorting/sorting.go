// Package sorting sorts lists that are never long. slices.SortFunc and its like are compiled again
// for every type that they sort, 7 KB of the program each; what is here is compiled once, and takes
// twice the time. Elements, members and all else that a large policy has by the thousand are sorted
// by package slices.
package sorting

import "sort"

// Func sorts list as slices.SortFunc does.
func Func[T any](list []T, compare func(a, b T) int) { sort.Sort(byIndex(list, compare)) }

// StableFunc sorts list as slices.SortStableFunc does: what compares equal keeps its order.
func StableFunc[T any](list []T, compare func(a, b T) int) { sort.Stable(byIndex(list, compare)) }

// indexed implements sort.Interface for a list of any type.
type indexed struct {
	length int
	less   func(i, j int) bool
	swap   func(i, j int)
}

func (x *indexed) Len() int           { return x.length }
func (x *indexed) Less(i, j int) bool { return x.less(i, j) }
func (x *indexed) Swap(i, j int)      { x.swap(i, j) }

func byIndex[T any](list []T, compare func(a, b T) int) *indexed {
	return &indexed{
		length: len(list),
		less:   func(i, j int) bool { return compare(list[i], list[j]) < 0 },
		swap:   func(i, j int) { list[i], list[j] = list[j], list[i] },
	}
}
