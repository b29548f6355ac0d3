package kernel

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
)

// park chooses the place for the change to want, and records it. Without a place marks are unmarked
// for a moment; where strict connections would then leave through another uplink, nothing changes.
func (a *application) park(want *plan.Plan) error {
	all := append(plansMarks(a.journal.Owned), conntrack.MarksOf(want))
	plans := withoutParked(all)
	p := parkingPlace(all)
	if p.mark == 0 { // that of an apply that was killed serves again
		p = parkingPlace(plans)
	}
	if p.mark == 0 && slices.ContainsFunc(plans, hasStrict) {
		return &ApplyError{Cause: &CrowdedError{a.want.Mask}, Undo: a.rollBack()}
	}
	what := "packets of connections whose numbers change are dropped for a moment"
	if p.mark == 0 {
		what = "connections whose numbers are reassigned are unmarked for a moment"
	}
	a.report.Warnings = append(a.report.Warnings, fmt.Sprintf("mark-mask 0x%08x: too few free values to change numbers step by step: %s",
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
