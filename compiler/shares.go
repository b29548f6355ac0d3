package compiler

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"

	"pbr/compiler/sorting"
)

// share is a member of a balance with its weight.
type share struct {
	name   string
	weight int
}

// Numbers of slots. The first keeps the text of a plan short and shares within 0.4 % of the whole;
// more come where members or weights need them.
const (
	fewSlots       = 256
	manySlots      = 4096
	slotsPerMember = 16
)

// reduced divides the weights by what they have in common, and returns their sum too.
func reduced(shares []share) ([]share, int) {
	divisor, sum := 0, 0
	for _, s := range shares {
		divisor = gcd(divisor, s.weight)
	}
	out := slices.Clone(shares)
	for i := range out {
		out[i].weight /= divisor
		sum += out[i].weight
	}
	return out, sum
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// hashSlots is how many slots a hash chooses from.
func hashSlots(shares []share) int {
	_, sum := reduced(shares)
	n := fewSlots
	for n < manySlots && (n < slotsPerMember*len(shares) || n < sum) {
		n *= 4
	}
	return n
}

// quotas divides n slots by weight, by largest remainders. Each share gets one at least: n is not
// below their number.
func quotas(shares []share, n int) []int {
	reducedShares, sum := reduced(shares)
	q := make([]int, len(shares))
	order := make([]int, len(shares))
	left := n
	for i, s := range reducedShares {
		q[i], order[i] = max(1, n*s.weight/sum), i
		left -= q[i]
	}
	sorting.Func(order, func(a, b int) int {
		return cmp.Compare(n*reducedShares[b].weight%sum, n*reducedShares[a].weight%sum)
	})
	for i := 0; left > 0; i++ {
		q[order[i]]++
		left--
	}
	for left < 0 { // too many got a slot for nothing; the largest pays
		largest := 0
		for i := range q {
			if q[i] > q[largest] {
				largest = i
			}
		}
		q[largest]--
		left++
	}
	return q
}

// turns spreads n slots over the shares by weight so that each comes as evenly as possible: of the
// shares' credits, which grow by their weights with every slot, the largest pays for it (the smooth
// weighted round-robin of nginx). It returns indexes.
func turns(weights []int, n int) []int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	credit := make([]int, len(weights))
	out := make([]int, n)
	for k := range out {
		best := 0
		for i := range weights {
			credit[i] += weights[i]
			if credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= sum
		out[k] = best
	}
	return out
}

// dealt gives n slots to the shares, exactly by weight, so that a change of members or weights
// moves few more slots than it must: each has an order of preference among the slots, hashed from
// its name alone, and in turn takes the first of them that is free (Eisenbud and others, "Maglev",
// NSDI 2016, section 3.4). The shares' own order does not matter. It returns indexes.
func dealt(shares []share, n int) []int {
	byName := make([]int, len(shares))
	for i := range byName {
		byName[i] = i
	}
	sorting.Func(byName, func(a, b int) int { return cmp.Compare(shares[a].name, shares[b].name) })
	sorted := make([]share, len(shares))
	for i, j := range byName {
		sorted[i] = shares[j]
	}
	wishes := make([][]int, len(sorted))
	for i, s := range sorted {
		wishes[i] = preferences(s.name, n)
	}
	slots := slices.Repeat([]int{-1}, n)
	for _, i := range turns(quotas(sorted, n), n) {
		for slots[wishes[i][0]] >= 0 {
			wishes[i] = wishes[i][1:]
		}
		slots[wishes[i][0]] = byName[i]
	}
	return slots
}

// preferences is an order of n slots that only the name decides.
func preferences(name string, n int) []int {
	type wish struct {
		hash uint64
		slot int
	}
	wishes := make([]wish, n)
	for slot := range wishes {
		wishes[slot] = wish{hashOf(name, uint32(slot)), slot}
	}
	sorting.Func(wishes, func(a, b wish) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.slot, b.slot)) })
	order := make([]int, n)
	for i := range wishes {
		order[i] = wishes[i].slot
	}
	return order
}

// hashOf is the same number on every machine.
func hashOf(name string, salt uint32) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	h.Write(binary.BigEndian.AppendUint32([]byte{0}, salt))
	return mixed(h.Sum64())
}

// mixed folds the high bits of a sum into the low ones, where FNV mixes poorly for short names
// (Stafford's variant 13).
func mixed(sum uint64) uint64 {
	sum ^= sum >> 30
	sum *= 0xbf58476d1ce4e5b9
	sum ^= sum >> 27
	sum *= 0x94d049bb133111eb
	return sum ^ sum>>31
}
