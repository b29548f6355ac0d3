// Package interval is the arithmetic of inclusive intervals: of addresses, ports, keys of sets.
//
// An interval is any struct of two fields, From and To, of one type; an Order says how the values
// of that type follow each other. A list is merged if it is sorted and no two of its intervals
// overlap or touch; for Subtract and Intersect those of a sorted list may touch.
package interval

import (
	"sort"

	"pbr/compiler/sorting"
)

// Order is how values follow each other.
type Order[T any] interface {
	Compare(a, b T) int
	// Next returns the value after v, and Prev the one before; ok is false where there is none.
	Next(v T) (next T, ok bool)
	Prev(v T) (prev T, ok bool)
}

// Merge sorts a list, in place, and joins what overlaps or touches.
func Merge[I ~struct{ From, To T }, T any](o Order[T], list []I) []I {
	if IsMerged(o, list) {
		return list
	}
	sorting.Func(list, func(a, b I) int { return o.Compare(ends[T](a).From, ends[T](b).From) })
	return Join(o, list)
}

// ends are an interval's fields.
type ends[T any] struct{ From, To T }

// Join makes a merged list of a sorted one, in place.
func Join[I ~struct{ From, To T }, T any](o Order[T], list []I) []I {
	out := list[:0]
	for _, i := range list {
		next := ends[T](i)
		if n := len(out); n > 0 {
			if last := ends[T](out[n-1]); reaches(o, last.To, next.From) {
				if o.Compare(last.To, next.To) < 0 {
					out[n-1] = I(ends[T]{last.From, next.To})
				}
				continue
			}
		}
		out = append(out, i)
	}
	return out
}

// IsMerged reports whether a list is merged already, as well-kept ones are.
func IsMerged[I ~struct{ From, To T }, T any](o Order[T], list []I) bool {
	for i := 1; i < len(list); i++ {
		if reaches(o, ends[T](list[i-1]).To, ends[T](list[i]).From) {
			return false
		}
	}
	return true
}

// reaches reports whether an interval that ends at to overlaps or touches one that starts at from,
// or comes after it.
func reaches[T any](o Order[T], to, from T) bool {
	if o.Compare(from, to) <= 0 {
		return true
	}
	next, ok := o.Next(to)
	return ok && o.Compare(next, from) == 0
}

// Subtract returns what of a merged list is not in another; nil for nothing.
func Subtract[I ~struct{ From, To T }, T any](o Order[T], list, without []I) (left []I) {
	at := 0
	for _, i := range list {
		rest := ends[T](i)
		for at < len(without) && o.Compare(ends[T](without[at]).To, rest.From) < 0 {
			at++
		}
		some := true // something of rest is left
		for _, w := range without[at:] {
			w := ends[T](w)
			if o.Compare(rest.To, w.From) < 0 {
				break
			}
			if o.Compare(rest.From, w.From) < 0 {
				end, _ := o.Prev(w.From)
				left = append(left, I(ends[T]{rest.From, end}))
			}
			if some = o.Compare(w.To, rest.To) < 0; !some {
				break
			}
			rest.From, _ = o.Next(w.To)
		}
		if some {
			left = append(left, I(rest))
		}
	}
	return left
}

// Intersect returns what two merged lists share; nil for nothing.
func Intersect[I ~struct{ From, To T }, T any](o Order[T], a, b []I) (both []I) {
	for len(a) > 0 && len(b) > 0 {
		if i, ok := Overlap(o, a[0], b[0]); ok {
			both = append(both, i)
		}
		if o.Compare(ends[T](a[0]).To, ends[T](b[0]).To) < 0 {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}

// Overlap returns what two intervals share; ok is false for nothing.
func Overlap[I ~struct{ From, To T }, T any](o Order[T], a, b I) (both I, ok bool) {
	i, j := ends[T](a), ends[T](b)
	if o.Compare(i.From, j.From) < 0 {
		i.From = j.From
	}
	if o.Compare(j.To, i.To) < 0 {
		i.To = j.To
	}
	return I(i), o.Compare(i.From, i.To) <= 0
}

// Contains reports whether all of b is in a; both are merged.
func Contains[I ~struct{ From, To T }, T any](o Order[T], a, b []I) bool {
	for _, i := range b {
		want := ends[T](i)
		at := sort.Search(len(a), func(k int) bool { return o.Compare(ends[T](a[k]).To, want.To) >= 0 })
		if at == len(a) || o.Compare(want.From, ends[T](a[at]).From) < 0 {
			return false
		}
		a = a[at:]
	}
	return true
}
