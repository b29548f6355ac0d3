package plan

import (
	"hash/maphash"
	"slices"
)

// Protocol numbers of L4 matches that icmp and icmpv6 types imply (RFC 792, RFC 4443), and the kernel's
// numbers of the families (NFPROTO_*, linux/netfilter.h).
const (
	protoICMP   = 1
	protoICMPv6 = 58
	nfprotoIPv4 = 2
	nfprotoIPv6 = 10
)

// nfproto is the meta nfproto value that the field implies, 0 for none.
func (f Field) nfproto() uint8 {
	switch f {
	case FieldIPSAddr, FieldIPDAddr, FieldDSCP4, FieldICMPType:
		return nfprotoIPv4
	case FieldIP6SAddr, FieldIP6DAddr, FieldDSCP6, FieldICMPv6Type:
		return nfprotoIPv6
	}
	return 0
}

// l4proto is the meta l4proto value that the field implies, 0 for none.
func (f Field) l4proto() uint8 {
	switch f {
	case FieldICMPType:
		return protoICMP
	case FieldICMPv6Type:
		return protoICMPv6
	}
	return 0
}

// IsValue tells whether m holds for the one value v of a field of one byte and for no other.
func (m *Match) IsValue(f Field, v uint8) bool {
	return m.Field == f && !m.Not && m.Set == "" && m.Mask == 0 && m.From == KeyFromUint8(v) && m.To == m.From
}

// CanonicalMatches leaves out the matches that the next one implies, as nft does: "meta nfproto ipv4 ip saddr X" is
// the same rule to the kernel as "ip saddr X", and "meta l4proto icmp" before "icmp type" where the family is known already.
// Without anything to leave out it returns ms itself.
func CanonicalMatches(ms []Match) []Match {
	ms = dropImplied(ms, func(known uint8, m, next *Match) bool {
		return next.Field.l4proto() != 0 && known == next.Field.nfproto() && m.IsValue(FieldL4Proto, next.Field.l4proto())
	})
	return dropImplied(ms, func(known uint8, m, next *Match) bool {
		return next.Field.nfproto() != 0 && m.IsValue(FieldNFProto, next.Field.nfproto())
	})
}

// dropImplied leaves out every match of which implied is true, given the family that the matches
// before it tell (a meta nfproto value, 0 unknown), and the match after it.
func dropImplied(ms []Match, implied func(known uint8, m, next *Match) bool) []Match {
	var known uint8
	for i := 0; i+1 < len(ms); i++ {
		if implied(known, &ms[i], &ms[i+1]) {
			rest := dropImpliedFrom(known, ms[i:], implied)
			return append(slices.Clone(ms[:i]), rest...)
		}
		known = familyAfter(known, &ms[i])
	}
	return ms
}

func dropImpliedFrom(known uint8, ms []Match, implied func(known uint8, m, next *Match) bool) []Match {
	out := make([]Match, 0, len(ms))
	for i := range ms {
		if i+1 < len(ms) && implied(known, &ms[i], &ms[i+1]) {
			continue
		}
		known = familyAfter(known, &ms[i])
		out = append(out, ms[i])
	}
	return out
}

// familyAfter is the family that is known once m has held.
func familyAfter(known uint8, m *Match) uint8 {
	switch {
	case m.IsValue(FieldNFProto, nfprotoIPv4):
		return nfprotoIPv4
	case m.IsValue(FieldNFProto, nfprotoIPv6):
		return nfprotoIPv6
	case m.Field.nfproto() != 0 && m.Field.l4proto() == 0:
		return m.Field.nfproto()
	}
	return known
}

// Equal tells whether r and o are the same rule to the kernel, comment included.
func (r *ChainRule) Equal(o *ChainRule) bool {
	if r.Comment != o.Comment || r.Foreign != o.Foreign || !sameSlice(r.Actions, o.Actions) {
		return false
	}
	return sameSlice(r.Matches, o.Matches) || slices.Equal(CanonicalMatches(r.Matches), CanonicalMatches(o.Matches))
}

// sameSlice is slices.Equal, at once for two views of the same memory.
func sameSlice[E comparable](a, b []E) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// internRules numbers the rules of two lists so that equal rules, and only those, have equal numbers.
func internRules(have, want []ChainRule) (h, w []int) {
	in := interner{seed: maphash.MakeSeed(), byHash: make(map[uint64][]int, len(have)+len(want))}
	number := func(rules []ChainRule) []int {
		out := make([]int, len(rules))
		for i := range rules {
			out[i] = in.number(&rules[i])
		}
		return out
	}
	return number(have), number(want)
}

type interner struct {
	seed   maphash.Seed
	rules  []*ChainRule
	byHash map[uint64][]int
}

func (in *interner) number(r *ChainRule) int {
	sum := in.hash(r)
	for _, n := range in.byHash[sum] {
		if in.rules[n].Equal(r) {
			return n
		}
	}
	n := len(in.rules)
	in.rules = append(in.rules, r)
	in.byHash[sum] = append(in.byHash[sum], n)
	return n
}

func (in *interner) hash(r *ChainRule) uint64 {
	var h maphash.Hash
	h.SetSeed(in.seed)
	h.WriteString(r.Comment)
	h.WriteByte(0)
	h.WriteString(r.Foreign)
	for _, m := range CanonicalMatches(r.Matches) {
		maphash.WriteComparable(&h, m)
	}
	for _, a := range r.Actions {
		maphash.WriteComparable(&h, a)
	}
	return h.Sum64()
}
