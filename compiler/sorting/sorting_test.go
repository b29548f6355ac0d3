package sorting

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// The order is that of package slices, and what is equal keeps its order.
func TestOrder(t *testing.T) {
	type pair struct{ key, place int }
	byKey := func(a, b pair) int { return cmp.Compare(a.key, b.key) }
	random := rand.New(rand.NewPCG(1, 2))
	for length := range 60 {
		list := make([]pair, length)
		for i := range list {
			list[i] = pair{random.IntN(9), i}
		}
		want, have := slices.Clone(list), slices.Clone(list)
		slices.SortStableFunc(want, byKey)
		if Func(have, byKey); !slices.Equal(have, want) {
			t.Errorf("%v became %v", list, have)
		}
	}
}
