package plan

import (
	"hash/maphash"
	"slices"
)

// Protocol numbers of L4 matches that icmp and icmpv6 types imply (RFC 792, RFC 4443).
const (
	protoICMP   = 1
	protoICMPv6 = 58
)

// The kernel's numbers of the families (NFPROTO_*, linux/netfilter.h).
const (
	nfprotoIPv4 = 2
	nfprotoIPv6 = 10
)

// NFProto returns the match "meta nfproto FAMILY".
func NFProto(family Family) Match {
	k := KeyFromUint8(nfprotoIPv4)
	if family == IPv6 {
		k = KeyFromUint8(nfprotoIPv6)
	}
	return Match{Field: FieldNFProto, From: k, To: k}
}

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

// IsValue reports whether m holds for the one value v of a field of one byte and for no other.
func (m *Match) IsValue(f Field, v uint8) bool {
	return m.Field == f && !m.Not && m.Set == "" && m.Mask == 0 && m.From == KeyFromUint8(v) && m.To == m.From
}

// tested is what the matches of a rule up to some place tell of the packet: a meta nfproto and a
// meta l4proto value, 0 unknown.
type tested struct{ family, proto uint8 }

// implies reports whether a match on f after t tests the family itself. An ICMP type does not where
// the protocol is known.
func (t tested) implies(f Field) bool {
	return f.nfproto() != 0 && (f.l4proto() == 0 || t.proto != f.l4proto())
}

// after is what is known once m has held too.
func (t tested) after(m *Match) tested {
	f := m.Field
	switch {
	case m.IsValue(FieldNFProto, nfprotoIPv4), m.IsValue(FieldNFProto, nfprotoIPv6):
		t.family = m.From[0]
	case f == FieldL4Proto && m.IsValue(f, m.From[0]):
		t.proto = m.From[0]
	case t.implies(f):
		t.family = f.nfproto()
	}
	if p := f.l4proto(); p != 0 {
		t.proto = p
	}
	return t
}

// CanonicalMatches leaves out the matches that the next one implies, as nft does: "meta nfproto
// ipv4 ip saddr X" is the same rule to the kernel as "ip saddr X", and "meta l4proto icmp" before
// "icmp type" where the family is known already. Without anything to leave out it returns ms
// itself.
func CanonicalMatches(ms []Match) []Match {
	if !mayBeImplied(ms) {
		return ms
	}
	ms = dropImplied(ms, func(t tested, m, next *Match) bool {
		return next.Field.l4proto() != 0 && t.family == next.Field.nfproto() && m.IsValue(FieldL4Proto, next.Field.l4proto())
	})
	return dropImplied(ms, func(t tested, m, next *Match) bool {
		return t.implies(next.Field) && m.IsValue(FieldNFProto, next.Field.nfproto())
	})
}

// mayBeImplied tells, at a glance, whether there is anything to look at: nearly always there is
// not.
func mayBeImplied(ms []Match) bool {
	for i := 1; i < len(ms); i++ {
		if f := ms[i-1].Field; (f == FieldNFProto || f == FieldL4Proto) && ms[i].Field.nfproto() != 0 {
			return true
		}
	}
	return false
}

// dropImplied leaves out every match of which implied is true, given what the matches before it
// tell, and the match after it.
func dropImplied(ms []Match, implied func(t tested, m, next *Match) bool) []Match {
	var t tested
	var out []Match
	for i := range ms {
		if i+1 < len(ms) && implied(t, &ms[i], &ms[i+1]) {
			if out == nil {
				out = append(make([]Match, 0, len(ms)), ms[:i]...)
			}
			continue
		}
		t = t.after(&ms[i])
		if out != nil {
			out = append(out, ms[i])
		}
	}
	if out == nil {
		return ms
	}
	return out
}

// Equal reports whether r and o are the same rule to the kernel, comment included.
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

// internRules numbers the rules of two lists so that equal rules, and only those, have equal
// numbers.
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
