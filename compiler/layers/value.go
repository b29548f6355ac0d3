package layers

import (
	"cmp"
	"encoding/binary"
	"math/bits"

	"pbr/compiler/interval"
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

// values is the order of the keys of a type.
type values struct{ plan.Type }

func (values) Compare(a, b value) int { return a.compare(b) }

func (o values) Next(v value) (value, bool) {
	k, ok := v.key().Next(o.Type)
	return valueOf(k), ok
}

func (o values) Prev(v value) (value, bool) {
	k, ok := v.key().Prev(o.Type)
	return valueOf(k), ok
}

// keySpan is an interval of keys.
type keySpan struct{ From, To value }

func (i *keySpan) meets(o *keySpan) bool    { return !o.To.less(i.From) && !i.To.less(o.From) }
func (i *keySpan) contains(o *keySpan) bool { return !o.From.less(i.From) && !i.To.less(o.To) }

// prefixBits is the length of the prefix that the span of keys of so many bytes is; ok is false
// if it is none.
func (i *keySpan) prefixBits(width int) (n int, ok bool) {
	differ := value{i.From.hi ^ i.To.hi, i.From.lo ^ i.To.lo}
	if differ.hi&i.From.hi != 0 || differ.lo&i.From.lo != 0 {
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

// keySpans are merged (see package interval); nil is everything.
type keySpans []keySpan

// keySpansOf returns the spans of sorted elements, never nil.
func keySpansOf(elements []plan.Element) keySpans {
	out := make(keySpans, len(elements))
	for i := range elements {
		out[i] = keySpan{valueOf(elements[i].From), valueOf(elements[i].To)}
	}
	return out
}

// without returns all keys of type t that are in none of the spans.
func (list keySpans) without(t plan.Type) keySpans {
	all := keySpans{{To: valueOf(plan.MaxKey(t))}}
	return append(keySpans{}, interval.Subtract(values{t}, all, list)...)
}

// and returns what is in both; never nil unless both are.
func (list keySpans) and(other keySpans) keySpans {
	switch {
	case list == nil:
		return other
	case other == nil:
		return list
	}
	if both := interval.Intersect(values{}, list, other); both != nil {
		return both
	}
	return keySpans{}
}

// hull is the one span from the first to the last key.
func (list keySpans) hull() keySpans {
	if len(list) < 2 {
		return list
	}
	return keySpans{{list[0].From, list[len(list)-1].To}}
}
