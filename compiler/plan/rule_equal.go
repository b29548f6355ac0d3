package plan

import (
	"hash/maphash"
	"slices"

	"pbr/compiler/ipproto"
)

// NFProto returns the match "meta nfproto FAMILY".
func NFProto(family Family) Match {
	k := KeyFromUint8(family.nfproto())
	return Match{Field: FieldNFProto, From: k, To: k}
}

// nfproto is what "meta nfproto" is for a family, 0 for none.
func (f Family) nfproto() uint8 {
	switch f {
	case IPv4:
		return ipproto.NFIPv4
	case IPv6:
		return ipproto.NFIPv6
	}
	return 0
}

// Family returns the IP version of the packets that have the field, 0 if those of both have it.
func (f Field) Family() Family {
	switch f {
	case FieldIPSAddr, FieldIPDAddr, FieldDSCP4, FieldICMPType:
		return IPv4
	case FieldIP6SAddr, FieldIP6DAddr, FieldDSCP6, FieldICMPv6Type:
		return IPv6
	}
	return 0
}

// Protocol returns the protocol of the packets that have the field, 0 if it is not of one.
func (f Field) Protocol() uint8 {
	switch f {
	case FieldICMPType:
		return ipproto.ICMP
	case FieldICMPv6Type:
		return ipproto.ICMPv6
	}
	return 0
}

// Family returns the only IP version that m can hold for, 0 if there are two.
func (m *Match) Family() Family {
	for _, f := range Families {
		if m.IsValue(FieldNFProto, f.nfproto()) {
			return f
		}
	}
	return m.Field.Family()
}

// IsValue reports whether m holds for the one value v of a field of one byte and for no other.
func (m *Match) IsValue(f Field, v uint8) bool {
	return m.Field == f && !m.Not && m.Set == "" && m.Mask == 0 && m.From == KeyFromUint8(v) && m.To == m.From
}

// tested is what the matches of a rule up to some place tell of the packet; 0 is unknown.
type tested struct {
	family Family
	proto  uint8
}

// implies reports whether a match on f after t tests the family itself. An ICMP type does not where
// the protocol is known.
func (t tested) implies(f Field) bool {
	return f.Family() != 0 && (f.Protocol() == 0 || t.proto != f.Protocol())
}

// after is what is known once m has held too.
func (t tested) after(m *Match) tested {
	f := m.Field
	switch {
	case f == FieldNFProto && m.Family() != 0:
		t.family = m.Family()
	case f == FieldL4Proto && m.IsValue(f, m.From[0]):
		t.proto = m.From[0]
	case t.implies(f):
		t.family = f.Family()
	}
	if p := f.Protocol(); p != 0 {
		t.proto = p
	}
	return t
}

// CanonicalMatches omits the matches that the next one implies, as nft does: "meta nfproto ipv4 ip
// saddr X" is the same rule to the kernel as "ip saddr X", and "meta l4proto icmp" before "icmp
// type" where the family is known already. Without anything to omit it returns ms itself.
func CanonicalMatches(ms []Match) []Match {
	if !mayBeImplied(ms) {
		return ms
	}
	ms = dropImplied(ms, func(t tested, m, next *Match) bool {
		return next.Field.Protocol() != 0 && t.family == next.Field.Family() && m.IsValue(FieldL4Proto, next.Field.Protocol())
	})
	return dropImplied(ms, func(t tested, m, next *Match) bool {
		return t.implies(next.Field) && m.IsValue(FieldNFProto, next.Field.Family().nfproto())
	})
}

// mayBeImplied reports whether, at a glance, there is anything to look at: nearly always there is
func mayBeImplied(ms []Match) bool {
	for i := 1; i < len(ms); i++ {
		if f := ms[i-1].Field; (f == FieldNFProto || f == FieldL4Proto) && ms[i].Field.Family() != 0 {
			return true
		}
	}
	return false
}

// dropImplied omits every match of which implied is true, given what the matches before it tell,
// and the match after it.
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

// sameSlice reports whether slices are equal, at once for two views of the same memory.
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
