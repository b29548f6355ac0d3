package layers

import "pbr/compiler/plan"

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

func (s dimSet) count() (n int) {
	for d := range dimCount {
		if s.has(d) {
			n++
		}
	}
	return n
}

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
	in [dimCount]keySpan
	// fields are the dims that are not everything.
	fields dimSet
	family plan.Family
	// exact means that the policy has all packets of the box, and not only some.
	exact bool
	// item is the one that the box belongs to.
	item int32
}

func (b *box) set(d dim, i keySpan) {
	b.in[d] = i
	b.fields |= 1 << d
}

func sameFamily(a, b plan.Family) bool { return a == b || a == 0 || b == 0 }

func (b *box) meets(o *box) bool {
	for both, d := b.fields&o.fields, dim(0); d < dimCount; d++ {
		if both.has(d) && !b.in[d].meets(o.in[d]) {
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
	for d := range dimCount {
		if b.fields.has(d) && !b.in[d].contains(o.in[d]) {
			return false
		}
	}
	return true
}
