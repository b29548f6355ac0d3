package kernel

import (
	"math/bits"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
)

// detour returns an intermediate plan to apply before want. It is want with other numbers in place
// of those that mean something else in an earlier plan. So at each step every number means the same
// to both plans, and no packet is mistaken for another's. It is nil if there are no such numbers.
// full is true if there are, but the mask has too few free values.
func detour(earlier []owned, want *plan.Plan) (between *plan.Plan, full bool) {
	r := &conntrack.Migration{Want: conntrack.MarksOf(want)}
	taken := &takenNumbers{want: want, earlier: earlier}
	names := map[string]plan.Number{}
	for _, w := range want.Numbers {
		if w.Mark == 0 || !meansOther(earlier, r, w) {
			continue
		}
		next, ok := taken.free()
		if !ok {
			return nil, true
		}
		next.Name, next.Interface = w.Name, w.Interface
		names[w.Name] = next
	}
	if len(names) == 0 {
		return nil, false
	}
	return plan.Renumber(want, names), false
}

// meansOther reports whether a wanted number's table, or one of its marks, belongs to something
// else in an earlier plan.
func meansOther(earlier []owned, r *conntrack.Migration, w plan.Number) bool {
	for _, o := range earlier {
		for _, n := range o.Numbers {
			next := r.Successor(o.Mask, n)
			if next != w.Mark && next != w.Mark|r.Want.Inside && n.Table == w.Table {
				return true
			}
			for _, mark := range r.Want.Of(w) {
				if next != mark && confused(n.Mark, o.Mask, mark, r.Want.Mask) {
					return true
				}
			}
		}
	}
	return false
}

// confused reports whether a mark under one mask looks like another mark under the other mask.
func confused(a, aMask, b, bMask uint32) bool {
	return a != 0 && (b&aMask == a || a&bMask == b)
}

// takenNumbers finds numbers that neither plan uses.
type takenNumbers struct {
	want    *plan.Plan
	earlier []owned
	// tried is the last number tried, table the highest table used.
	tried, table uint32
}

// firstDetourTable is above all tables that the compiler derives from names.
const firstDetourTable = 3_000_000

// free returns an unused number; ok is false if there is none.
func (t *takenNumbers) free() (n plan.Number, ok bool) {
	mask := t.want.NumberMask()
	values := uint32(1)<<min(bits.OnesCount32(mask), 20) - 1
	for t.tried < values {
		t.tried++
		n.Mark = spread(values+1-t.tried, mask)
		if !t.has(n.Mark) && !t.has(n.Mark|t.want.Inside) {
			n.Table = max(firstDetourTable, t.table, t.highest()) + 1
			t.table = n.Table
			return n, true
		}
	}
	return n, false
}

// has reports whether a mark can be mistaken for one of either plan.
func (t *takenNumbers) has(mark uint32) bool {
	marks := conntrack.MarksOf(t.want)
	if _, used := marks.Number(mark); used {
		return true
	}
	for _, o := range t.earlier {
		for _, n := range o.Numbers {
			if confused(n.Mark, o.Mask, mark, t.want.Mask) {
				return true
			}
		}
	}
	return false
}

func (t *takenNumbers) highest() (table uint32) {
	for _, n := range t.want.Numbers {
		table = max(table, n.Table)
	}
	for _, o := range t.earlier {
		for _, id := range o.Tables {
			table = max(table, id)
		}
	}
	return table
}

// spread puts the low bits of n into the bits of mask, lowest first.
func spread(n, mask uint32) (v uint32) {
	for ; mask != 0 && n != 0; mask, n = mask&(mask-1), n>>1 {
		if n&1 != 0 {
			v |= mask & -mask
		}
	}
	return v
}
