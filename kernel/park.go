package kernel

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
)

// Where numbers cannot change without a moment in which marks are ambiguous, connections whose
// number changes have a mark for that time that neither plan uses, and their packets are dropped.
// So are the first packets of new connections that would be pinned.

// parkedName names this mark in the journal. No table is like it: as a strict one that is gone it
// makes the next apply drop its connections' packets, and delete them, if this one is killed.
const parkedName = "/moving"

// place is a mark under a mask; its zero value is none.
type place struct{ mark, mask uint32 }

// parkingPlace returns a mark that cannot be mistaken for one of these plans, under all their masks
// together; it is the zero value if there is none.
func parkingPlace(plans []conntrack.Marks) place {
	all := uint32(0)
	for i := range plans {
		all |= plans[i].Mask
	}
	for v := capacity(all); v > 0; v-- {
		mark := spread(v, all)
		if !slices.ContainsFunc(plans, func(m conntrack.Marks) bool { _, used := m.Number(mark & m.Mask); return used }) {
			return place{mark, all}
		}
	}
	return place{}
}

// hasStrict reports whether packets of any number must not use another uplink than its own.
func hasStrict(m conntrack.Marks) bool {
	return slices.ContainsFunc(m.Numbers, func(n plan.Number) bool { return n.IsVariant() })
}

// withoutParked returns the plans without the places of applies that were killed.
func withoutParked(plans []conntrack.Marks) []conntrack.Marks {
	return slices.DeleteFunc(slices.Clone(plans), func(m conntrack.Marks) bool {
		return slices.ContainsFunc(m.Numbers, func(n plan.Number) bool { return n.Name == parkedName })
	})
}
