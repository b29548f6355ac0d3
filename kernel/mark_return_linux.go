package kernel

import (
	"errors"

	"github.com/mdlayher/netlink"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
)

// Connections that begin while a new plan is in force have its marks. If that plan is rolled back,
// the one before does not know these marks: their packets would count as unmarked, and use default.
// So they get the marks that their uplinks have in the plan before.

// newMarkReturn returns the migration from the plan that a applies back to the one that is in force
// now; nil if there is none.
func (a *application) newMarkReturn() *markMigration {
	if len(a.journal.Owned) == 0 {
		return nil
	}
	return &markMigration{a: a, Migration: &conntrack.Migration{
		Want: a.journal.Owned[0].Marks, Earlier: []conntrack.Marks{a.owned.Marks}, Rollback: true,
	}}
}

// returningMarks returns an undo of the transaction by which a plan comes into force. Before undo
// makes the ruleset what it was, an interim one knows the marks of both plans, and connections get
// back the earlier plan's. Where connections are parked, none begins, see parkingBegun.
func (a *application) returningMarks(before *plan.Ruleset, undo func() error) func() error {
	if a.marks == nil || a.marks.entered || a.parking.mark != 0 {
		return undo
	}
	a.marks.entered = true
	back := a.newMarkReturn()
	if back == nil || len(back.Stale()) == 0 {
		return undo
	}
	if before.Empty() {
		return func() error { return errors.Join(undo(), a.undoing(back.returnAll)()) }
	}
	interim := transitional(&plan.Plan{Mask: back.Want.Mask, Inside: back.Want.Inside, Ruleset: *before}, back.Migration)
	return func() error {
		return errors.Join(a.transact(&interim, nil), a.undoing(back.returnAll)(), undo())
	}
}

// returnAll gives all connections with marks of the plan that is given up those of the plan before,
// and deletes those for which that has none.
func (r *markMigration) returnAll(c *netlink.Conn) error {
	nft.AwaitPackets()
	err := errors.Join(r.sweepAll(c), r.restart(c))
	if conntrack.Unsupported(err) {
		return nil // -- such a kernel has not changed marks before either
	}
	return err
}

// parkingBegun returns an undo of finish for connections that were parked. Those that began under
// the new plan get the parking mark, too, because theirs may be another uplink's in the plan
// before; release gives them the right one.
func (r *markMigration) parkingBegun(parked place) func(*netlink.Conn) error {
	back := r.a.newMarkReturn()
	return func(c *netlink.Conn) error {
		return errors.Join(r.parkBegun(c, back, parked), r.restore(c))
	}
}

func (r *markMigration) parkBegun(c *netlink.Conn, back *markMigration, parked place) error {
	if back == nil {
		return nil
	}
	nft.AwaitPackets()
	older := map[string]bool{}
	for i := range r.done {
		older[r.done[i].Key()] = true
	}
	var marks []conntrack.Marking
	err := back.each(c, func(f conntrack.Flow) error {
		if _, held := r.held[f.Key()]; held || older[f.Key()] {
			return nil
		}
		bits, _, _ := back.Meaning(f.Mark)
		if bits == 0 {
			_, err := f.Remove(c)
			return err
		}
		was := f
		was.Mark = f.Mark&^parked.mask | bits
		r.held[f.Key()] = heldFlow{changedFlow: changedFlow{was, parked.mask}}
		marks = append(marks, conntrack.Marking{Flow: &f, Bits: parked.mark, Mask: parked.mask})
		return nil
	})
	_, failed := setMarks(c, marks)
	return errors.Join(err, failed)
}
