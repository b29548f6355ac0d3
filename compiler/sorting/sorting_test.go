package sorting

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// The order is that of package slices.
func TestOrder(t *testing.T) {
	type pair struct{ key, place int }
	byKey := func(a, b pair) int { return cmp.Compare(a.key, b.key) }
	random := rand.New(rand.NewPCG(1, 2))
	for length := range 60 {
		list := make([]pair, length)
		for i := range list {
			list[i] = pair{random.IntN(9), i}
		}
		want, stable, keys := slices.Clone(list), slices.Clone(list), slices.Clone(list)
		slices.SortStableFunc(want, byKey)
		StableFunc(stable, byKey)
		if !slices.Equal(stable, want) {
			t.Errorf("%v became %v", list, stable)
		}
		if Func(keys, byKey); !slices.IsSortedFunc(keys, byKey) {
			t.Errorf("%v became %v", list, keys)
		}
		Func(keys, func(a, b pair) int { return cmp.Compare(a.place, b.place) })
		if !slices.Equal(keys, list) {
			t.Errorf("%v lost something: %v", list, keys)
		}
	}
}
