package layers

import (
	"math/bits"

	"pbr/compiler/plan"
)

// dim is a field that boxes have an interval in, in the order in which maps have them.
type dim uint8

const (
	dimIface dim = iota
	dimSrc
	dimDst
	dimProto
	dimSPort
	dimDPort
	dimCount
)

// dimSet has a bit for each dim.
type dimSet uint8

func (s dimSet) has(d dim) bool { return s&(1<<d) != 0 }

func (s dimSet) count() int { return bits.OnesCount8(uint8(s)) }

// first is the first dim of a set that has some, rest the others.
func (s dimSet) first() dim { return dim(bits.TrailingZeros8(uint8(s))) }

func (s dimSet) rest() dimSet { return s & (s - 1) }

// rank is how many dims of the set come before d.
func (s dimSet) rank(d dim) int { return (s & (1<<d - 1)).count() }

const (
	addresses = dimSet(1<<dimSrc | 1<<dimDst)
	ports     = dimSet(1<<dimSPort | 1<<dimDPort)
	arrival   = dimSet(1 << dimIface)
)

// dimOf tells the dim of the fields that have one.
var dimOf = map[plan.Field]dim{
	plan.FieldIIFName: dimIface,
	plan.FieldIPSAddr: dimSrc, plan.FieldIP6SAddr: dimSrc,
	plan.FieldIPDAddr: dimDst, plan.FieldIP6DAddr: dimDst,
	plan.FieldL4Proto: dimProto,
	plan.FieldSPort:   dimSPort, plan.FieldDPort: dimDPort,
}

// field is the plan's field of a dim, of a family where it matters.
func (d dim) field(f plan.Family) plan.Field {
	four := f != plan.IPv6
	switch {
	case d == dimIface:
		return plan.FieldIIFName
	case d == dimSrc && four:
		return plan.FieldIPSAddr
	case d == dimSrc:
		return plan.FieldIP6SAddr
	case d == dimDst && four:
		return plan.FieldIPDAddr
	case d == dimDst:
		return plan.FieldIP6DAddr
	case d == dimProto:
		return plan.FieldL4Proto
	case d == dimSPort:
		return plan.FieldSPort
	}
	return plan.FieldDPort
}

// dimNames are used in the names of maps.
var dimNames = [dimCount]string{"from", "src", "dst", "proto", "sport", "dport"}

// box is a set of packets: those of the family (0 is both) that are in the interval of each field.
type box struct {
	// in has the intervals of the fields, in their order. A field that it has none of is
	// everything.
	in []keySpan
	// fields are the dims that are not everything.
	fields dimSet
	family plan.Family
	// exact means that the policy has all packets of the box, and not only some.
	exact bool
	// item is the one that the box belongs to.
	item int32
}

// span is the interval of a field that the box has one of.
func (b *box) span(d dim) *keySpan { return &b.in[b.fields.rank(d)] }

func sameFamily(a, b plan.Family) bool { return a == b || a == 0 || b == 0 }

func (b *box) meets(o *box) bool {
	for both := b.fields & o.fields; both != 0; both = both.rest() {
		if d := both.first(); !b.span(d).meets(o.span(d)) {
			return false
		}
	}
	return sameFamily(b.family, o.family)
}

// contains reports whether every packet of o is one of b.
func (b *box) contains(o *box) bool {
	if b.fields&^o.fields != 0 || b.family != 0 && b.family != o.family {
		return false
	}
	for left := b.fields; left != 0; left = left.rest() {
		if d := left.first(); !b.span(d).contains(o.span(d)) {
			return false
		}
	}
	return true
}
