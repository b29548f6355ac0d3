package layers

import (
	"cmp"
	"encoding/binary"
	"math/bits"

	"pbr/compiler/plan"
)

// value is a plan.Key as a number, which is faster to compare.
type value struct{ hi, lo uint64 }

func valueOf(k plan.Key) value {
	return value{binary.BigEndian.Uint64(k[:8]), binary.BigEndian.Uint64(k[8:])}
}

func (v value) key() (k plan.Key) {
	binary.BigEndian.PutUint64(k[:8], v.hi)
	binary.BigEndian.PutUint64(k[8:], v.lo)
	return k
}

func (v value) less(o value) bool { return v.hi < o.hi || v.hi == o.hi && v.lo < o.lo }

func (v value) compare(o value) int { return cmp.Or(cmp.Compare(v.hi, o.hi), cmp.Compare(v.lo, o.lo)) }

// interval is inclusive.
type interval struct{ lo, hi value }

// everything is the interval that no key is outside of.
var everything = interval{hi: value{^uint64(0), ^uint64(0)}}

func (i interval) meets(o interval) bool    { return !o.hi.less(i.lo) && !i.hi.less(o.lo) }
func (i interval) contains(o interval) bool { return !o.lo.less(i.lo) && !i.hi.less(o.hi) }

// prefixBits is the length of the prefix that the interval of keys of so many bytes is; ok is false
// if it is none.
func (i interval) prefixBits(width int) (n int, ok bool) {
	differ := value{i.lo.hi ^ i.hi.hi, i.lo.lo ^ i.hi.lo}
	if differ.hi&i.lo.hi != 0 || differ.lo&i.lo.lo != 0 {
		return 0, false
	}
	// A prefix's ends differ in all of the bits after it, and in no other.
	n = bits.LeadingZeros64(differ.hi)
	if n == 64 {
		n += bits.LeadingZeros64(differ.lo)
	}
	n = min(n, 8*width)
	same := bits.OnesCount64(differ.hi) + bits.OnesCount64(differ.lo)
	return n, same == 8*width-n
}

// intervals are sorted and apart from each other; nil is everything.
type intervals []interval

// intervalsOf returns the intervals of sorted elements, never nil.
func intervalsOf(elements []plan.Element) intervals {
	out := make(intervals, len(elements))
	for i := range elements {
		out[i] = interval{valueOf(elements[i].From), valueOf(elements[i].To)}
	}
	return out
}

// without returns all keys of type t that are in none of the intervals.
func (list intervals) without(t plan.Type) intervals {
	out := intervals{}
	var from plan.Key
	for _, i := range list {
		if before, ok := i.lo.key().Prev(t); ok && from.Compare(before) <= 0 {
			out = append(out, interval{valueOf(from), valueOf(before)})
		}
		var ok bool
		if from, ok = i.hi.key().Next(t); !ok {
			return out
		}
	}
	return append(out, interval{valueOf(from), valueOf(plan.MaxKey(t))})
}

// and returns what is in both; never nil unless both are.
func (list intervals) and(other intervals) intervals {
	if list == nil {
		return other
	}
	if other == nil {
		return list
	}
	out := intervals{}
	for i, j := 0, 0; i < len(list) && j < len(other); {
		a, b := list[i], other[j]
		if a.meets(b) {
			both := a
			if both.lo.less(b.lo) {
				both.lo = b.lo
			}
			if b.hi.less(both.hi) {
				both.hi = b.hi
			}
			out = append(out, both)
		}
		if a.hi.less(b.hi) {
			i++
		} else {
			j++
		}
	}
	return out
}

// hull is the one interval from the first to the last key.
func (list intervals) hull() intervals {
	if len(list) < 2 {
		return list
	}
	return intervals{{list[0].lo, list[len(list)-1].hi}}
}
