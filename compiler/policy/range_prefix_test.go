package policy

import (
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// The prefixes of a range cover it exactly, in order, and are as few as can be: no two
// neighbours could be one.
func TestRangePrefixes(t *testing.T) {
	for range 2000 {
		r := randomRange()
		prefixes := slices.Collect(r.Prefixes())
		next := r.From
		for i, p := range prefixes {
			if p.Addr() != next || p.Masked() != p {
				t.Fatalf("%v: prefix %d is %v, want it to start at %v", r, i, p, next)
			}
			if i > 0 && mergeable(prefixes[i-1], p) {
				t.Fatalf("%v: %v and %v could be one", r, prefixes[i-1], p)
			}
			next = PrefixRange(p).To.Next()
		}
		if last := PrefixRange(prefixes[len(prefixes)-1]).To; last != r.To {
			t.Fatalf("%v: ends at %v", r, last)
		}
	}
}

func mergeable(a, b netip.Prefix) bool {
	return a.Bits() == b.Bits() && a.Bits() > 0 &&
		netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked() == netip.PrefixFrom(b.Addr(), b.Bits()-1).Masked()
}

func randomRange() Range {
	width := 4
	if rand.IntN(2) == 0 {
		width = 16
	}
	a, b := randomAddr(width), randomAddr(width)
	switch rand.IntN(4) {
	case 0:
		b = a
	case 1: // to the very end
		b = PrefixRange(netip.PrefixFrom(b, 0).Masked()).To
	case 2:
		a = netip.PrefixFrom(a, 0).Masked().Addr()
	}
	if b.Less(a) {
		a, b = b, a
	}
	return Range{From: a, To: b}
}

func randomAddr(width int) netip.Addr {
	b := make([]byte, width)
	// Few bits set, so that ranges share long prefixes now and then.
	n := new(big.Int).Rsh(new(big.Int).SetUint64(rand.Uint64()), uint(rand.IntN(64)))
	n.FillBytes(make([]byte, 8))
	raw := n.FillBytes(make([]byte, 8))
	copy(b[max(0, width-8):], raw[max(0, 8-width):])
	a, _ := netip.AddrFromSlice(b)
	return a
}
