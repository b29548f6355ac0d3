package interval

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

type span struct{ From, To uint8 }

// bytes is an order of which every interval can be tried.
type bytes struct{}

func (bytes) Compare(a, b uint8) int     { return int(a) - int(b) }
func (bytes) Next(n uint8) (uint8, bool) { return n + 1, n < 255 }
func (bytes) Prev(n uint8) (uint8, bool) { return n - 1, n > 0 }

// bits has the numbers that are in a list.
func bits(list []span) (in [256]bool) {
	for _, s := range list {
		for n := int(s.From); n <= int(s.To); n++ {
			in[n] = true
		}
	}
	return in
}

func random(rng *rand.Rand) []span {
	list := make([]span, rng.IntN(8))
	for i := range list {
		from := uint8(rng.IntN(256))
		list[i] = span{from, from + uint8(rng.IntN(1+min(40, 255-int(from))))}
		if rng.IntN(12) == 0 {
			list[i].To = 255
		}
	}
	return list
}

func TestAgainstBits(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 3000 {
		a, b := random(rng), random(rng)
		inA, inB := bits(a), bits(b)
		a, b = Merge(bytes{}, slices.Clone(a)), Merge(bytes{}, slices.Clone(b))
		var both, left [256]bool
		contains := true
		for n := range 256 {
			both[n], left[n] = inA[n] && inB[n], inA[n] && !inB[n]
			contains = contains && (inA[n] || !inB[n])
		}
		for what, ok := range map[string]bool{
			"Merge":     IsMerged(bytes{}, a) && bits(a) == inA,
			"Intersect": bits(Intersect(bytes{}, a, b)) == both && IsMerged(bytes{}, Intersect(bytes{}, a, b)),
			"Subtract":  bits(Subtract(bytes{}, a, b)) == left && IsMerged(bytes{}, Subtract(bytes{}, a, b)),
			"Contains":  Contains(bytes{}, a, b) == contains,
		} {
			if !ok {
				t.Fatalf("seed %d: %s of %v and %v is wrong", seed, what, a, b)
			}
		}
	}
}

func TestAddrs(t *testing.T) {
	type pair struct{ From, To netip.Addr }
	of := func(from, to string) pair { return pair{netip.MustParseAddr(from), netip.MustParseAddr(to)} }
	for name, c := range map[string]struct{ in, want []pair }{
		"touch": {[]pair{of("10.0.1.0", "10.0.1.9"), of("10.0.0.0", "10.0.0.255")}, []pair{of("10.0.0.0", "10.0.1.9")}},
		"two versions": {[]pair{of("::", "::9"), of("0.0.0.0", "255.255.255.255")},
			[]pair{of("0.0.0.0", "255.255.255.255"), of("::", "::9")}},
		"nothing after all": {[]pair{of("fe80::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), of("ff00::", "ff00::1")},
			[]pair{of("fe80::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}},
		"apart": {[]pair{of("10.0.0.0", "10.0.0.1"), of("10.0.0.3", "10.0.0.3")},
			[]pair{of("10.0.0.0", "10.0.0.1"), of("10.0.0.3", "10.0.0.3")}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Merge(Addrs{}, c.in); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v", name, got)
			}
		})
	}
}

func TestLastAddr(t *testing.T) {
	for prefix, want := range map[string]string{
		"10.0.0.0/8": "10.255.255.255", "10.0.16.0/20": "10.0.31.255", "192.0.2.7/32": "192.0.2.7", "0.0.0.0/0": "255.255.255.255",
		"2001:db8::/61": "2001:db8:0:7:ffff:ffff:ffff:ffff", "fd00::1/128": "fd00::1", "::/0": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		t.Run(prefix, func(t *testing.T) {
			if got := LastAddr(netip.MustParsePrefix(prefix)); got.String() != want {
				t.Errorf("%s ends at %s, not %s", prefix, got, want)
			}
		})
	}
}
