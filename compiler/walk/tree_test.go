package walk

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pbr/compiler/plan"
)

// randomTuples are disjoint entries of four fields, as policies have them: prefixes, any, single
// values and ranges.
func randomTuples(rng *rand.Rand, n, tries int) *plan.Set {
	s := &plan.Set{Name: "s", Concat: []plan.Type{plan.TypeIPv4, plan.TypeIPv4, plan.TypeProto, plan.TypePort}, Interval: true}
	address := func() plan.Span {
		bits := []int{0, 8, 16, 24, 32}[rng.IntN(5)]
		k, mask := plan.KeyFromUint32(rng.Uint32()&0x0f0f0fff), plan.PrefixMask(plan.TypeIPv4, bits)
		sp := plan.Span{}
		for i := range 4 {
			sp.From[i] = k[i] & mask[i]
			sp.To[i] = sp.From[i] | ^mask[i]
		}
		return sp
	}
	var taken [][]plan.Span
	for range tries {
		from := uint16(rng.UintN(1000))
		spans := []plan.Span{address(), address(), one(proto([]uint8{6, 17}[rng.IntN(2)])),
			{From: port(from), To: port(from + uint16(rng.UintN(3)))}}
		if rng.IntN(3) == 0 {
			spans[3] = plan.AllOf(plan.TypePort)
		}
		if len(taken) < n && !slices.ContainsFunc(taken, func(o []plan.Span) bool { return meet(spans, o) }) {
			taken = append(taken, spans)
			s.Tuples = append(s.Tuples, plan.PackTuple(s.Concat, spans, ""))
		}
	}
	slices.SortFunc(s.Tuples, plan.CompareTuples)
	return s
}

func meet(a, b []plan.Span) bool {
	for i := range a {
		if a[i].To.Compare(b[i].From) < 0 || b[i].To.Compare(a[i].From) < 0 {
			return false
		}
	}
	return true
}

// TestTreeIsTheList compares with looking at one element after the other: at the corners of each
// element, just outside of them, and anywhere.
func TestTreeIsTheList(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 10 {
		s := randomTuples(rng, 200, 400)
		var list [][]plan.Span
		for i := range s.Tuples {
			list = append(list, s.Tuples[i].Spans(s.Concat))
		}
		x, err := newSet(s)
		if err != nil {
			t.Fatal(err)
		}
		check := func(key []plan.Key) {
			nums := make([]num, len(key))
			for f := range key {
				nums[f] = numOf(&key[f])
			}
			want := slices.IndexFunc(list, func(spans []plan.Span) bool {
				for f := range key {
					if key[f].Compare(spans[f].From) < 0 || spans[f].To.Compare(key[f]) < 0 {
						return false
					}
				}
				return true
			})
			if got := x.findTuple(nums); got != want {
				t.Fatalf("%v is in element %d, found %d", key, want, got)
			}
		}
		for i := range list {
			for f, sp := range list[i] {
				below, _ := sp.From.Prev(s.Concat[f])
				above, _ := sp.To.Next(s.Concat[f])
				for _, k := range []plan.Key{sp.From, sp.To, below, above} {
					key := make([]plan.Key, len(s.Concat))
					for j, o := range list[i] {
						key[j] = []plan.Key{o.From, o.To}[rng.IntN(2)]
					}
					key[f] = k
					check(key)
				}
			}
		}
		for range 300 {
			k := func() plan.Key { return plan.KeyFromUint32(rng.Uint32() & 0x0f0f0fff) }
			check([]plan.Key{k(), k(), proto([]uint8{6, 17, 1}[rng.IntN(3)]), port(uint16(rng.UintN(1100)))})
		}
	}
}

// BenchmarkTuples is one look-up among 10,000 elements, by random packets.
func BenchmarkTuples(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	s := randomTuples(rng, 10_000, 20_000)
	b.Logf("%d elements", len(s.Tuples))
	x, err := newSet(s)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d copies, %d nodes", x.tree.copies, len(x.tree.nodes))
	k := func() num { return num32(rng.Uint32() & 0x0f0f0fff) }
	for b.Loop() {
		x.findTuple([]num{k(), k(), num8(6), num16(uint16(rng.UintN(1100)))})
	}
}
