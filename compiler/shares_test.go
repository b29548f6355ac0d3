package compiler

import (
	"fmt"
	"slices"
	"testing"
)

func equalShares(n int) []share {
	var out []share
	for i := range n {
		out = append(out, share{fmt.Sprintf("isp%d", i+1), 1})
	}
	return out
}

// owners are the members of the slots.
func owners(shares []share, slots []int) []string {
	out := make([]string, len(slots))
	for i, s := range slots {
		out[i] = shares[s].name
	}
	return out
}

func countOf(slots []int, n int) []int {
	count := make([]int, n)
	for _, s := range slots {
		count[s]++
	}
	return count
}

func TestSlotsAreByWeight(t *testing.T) {
	for _, weights := range [][]int{{1}, {1, 1}, {3, 1}, {2, 1}, {1, 1, 1}, {4, 2, 1}, {256, 1}, {256, 256, 1},
		{200, 100, 50}, {7, 11, 13, 17, 19}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			var shares []share
			sum := 0
			for i, w := range weights {
				shares = append(shares, share{fmt.Sprintf("m%d", i), w})
				sum += w
			}
			n := hashSlots(shares)
			count := countOf(dealt(shares, n), len(shares))
			for i, w := range weights {
				if ideal := float64(n*w) / float64(sum); float64(count[i]) < ideal-1 || float64(count[i]) > ideal+1 {
					t.Errorf("weights %v: member %d has %d of %d slots, its share is %.1f", weights, i, count[i], n, ideal)
				}
			}
		})
	}
}

func TestEveryMemberHasASlot(t *testing.T) {
	var shares []share
	for i := range 255 {
		shares = append(shares, share{fmt.Sprint(i), 1 + 255*(i%2)})
	}
	n := hashSlots(shares)
	for i, c := range countOf(dealt(shares, n), len(shares)) {
		if c == 0 {
			t.Errorf("member %d of weight %d has no slot of %d", i, shares[i].weight, n)
		}
	}
}

// moved is which part of the slots have another member, and which part do though neither of the two
// is the given one.
func moved(a, b []string, of string) (all, others float64) {
	for i := range a {
		if a[i] != b[i] {
			all++
			if a[i] != of && b[i] != of {
				others++
			}
		}
	}
	return all / float64(len(a)), others / float64(len(a))
}

// TestAMemberLeaving measures what a member's leaving the policy, or coming, moves beside its own
// share. The slots in one piece a member, as a plain modulo has them, are the alternative.
func TestAMemberLeaving(t *testing.T) {
	pieces := func(shares []share, n int) []int {
		var out []int
		for i, q := range quotas(shares, n) {
			out = append(out, slices.Repeat([]int{i}, q)...)
		}
		return out
	}
	for n := 2; n <= 8; n++ {
		t.Run(fmt.Sprintf("one of %d", n), func(t *testing.T) {
			full := equalShares(n)
			slots := hashSlots(full)
			var own, other, plain float64
			for i := range full {
				less := slices.Delete(slices.Clone(full), i, i+1)
				all, others := moved(owners(full, dealt(full, slots)), owners(less, dealt(less, slots)), full[i].name)
				_, inPieces := moved(owners(full, pieces(full, slots)), owners(less, pieces(less, slots)), full[i].name)
				own, other, plain = own+(all-others)/float64(n), other+others/float64(n), plain+inPieces/float64(n)
			}
			t.Logf("1 of %d leaves: %.1f %% of the connections are its own, %.1f %% of others move too; with a "+
				"plain modulo %.1f %%", n, 100*own, 100*other, 100*plain)
			if other > 0.06 || n > 2 && other > plain/2 {
				t.Errorf("one of %d leaves, and %.1f %% of the connections of others move (plain modulo: %.1f %%)", n, 100*other, 100*plain)
			}
		})
	}
}

func TestSlotsDoNotDependOnTheOrder(t *testing.T) {
	shares := []share{{"b", 2}, {"a", 1}, {"c", 5}}
	other := []share{shares[2], shares[0], shares[1]}
	if a, b := owners(shares, dealt(shares, 256)), owners(other, dealt(other, 256)); !slices.Equal(a, b) {
		t.Error("another order of members is another choice")
	}
}

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		weights []int
		want    []int
	}{
		{[]int{1}, []int{0}},
		{[]int{1, 1}, []int{0, 1}},
		{[]int{3, 1}, []int{0, 0, 1, 0}},
		{[]int{5, 1, 1}, []int{0, 0, 1, 0, 2, 0, 0}},
	} {
		t.Run(fmt.Sprint(c.weights), func(t *testing.T) {
			if got := turns(c.weights, len(c.want)); !slices.Equal(got, c.want) {
				t.Errorf("weights %v: %v, not %v", c.weights, got, c.want)
			}
		})
	}
}
