package policy

import (
	"iter"
	"math/bits"
	"net/netip"

	"pbr/compiler/interval"
)

// Prefixes yields the fewest prefixes that make up a range, from the first to the last.
func (r Range) Prefixes() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for from := r.From; ; {
			p := widestPrefix(Range{from, r.To})
			last := PrefixRange(p).To
			if !yield(p) || last == r.To {
				return
			}
			from = last.Next()
		}
	}
}

// widestPrefix returns the widest prefix that a range starts with.
func widestPrefix(r Range) netip.Prefix {
	if r.From.Is4() {
		from, size := v4Number(r.From), uint64(v4Number(r.To))-uint64(v4Number(r.From))+1
		return netip.PrefixFrom(r.From, 32-min(bits.TrailingZeros32(from), bits.Len64(size)-1))
	}
	n := 0
	for ; n < 128; n++ {
		if p := netip.PrefixFrom(r.From, n); p.Masked() == p && !r.To.Less(PrefixRange(p).To) {
			break
		}
	}
	return netip.PrefixFrom(r.From, n)
}

// PrefixRange returns the first and last address of a prefix.
func PrefixRange(p netip.Prefix) Range { return Range{p.Addr(), interval.LastAddr(p)} }
