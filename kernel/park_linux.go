package kernel

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
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

// park chooses the place for the change to want, and records it.
func (a *application) park(want *plan.Plan) error {
	p := parkingPlace(append(plansMarks(a.journal.Owned), conntrack.MarksOf(want)))
	what := "packets of connections whose numbers change are dropped for a moment"
	if p.mark == 0 {
		what = "connections whose numbers are reassigned are unmarked for a moment"
	}
	a.report.Warnings = append(a.report.Warnings, fmt.Sprintf("mark-mask %#08x: too few free values to change numbers step by step: %s",
		a.want.Mask, what))
	if p.mark == 0 {
		return nil
	}
	next := *a.journal
	next.Owned = append(slices.Clone(next.Owned), owned{
		Marks:        conntrack.Marks{Mask: p.mask, Numbers: []plan.Number{{Name: parkedName, Mark: p.mark}}},
		BasePriority: want.BasePriority, Attempted: true,
	})
	if err := a.writeJournal(&next); err != nil {
		return &ApplyError{Cause: err, Undo: a.rollBack()}
	}
	a.parking, a.marks = p, newMarkMigration(a)
	return nil
}

// refuseNew is the step after which the ruleset in force pins no new connection, and drops the
// packets of those that are parked.
func (a *application) refuseNew(have *live) step {
	next := refusing(&have.plan.Ruleset, a.marks.Migration, a.parking)
	return step{
		what: "nftables transaction: connections with ambiguous marks wait", partial: true,
		do: func() error {
			err := a.transact(&next, nil)
			nft.AwaitPackets()
			return err
		},
		undo: func() error { return a.transact(&have.plan.Ruleset, nil) },
	}
}
