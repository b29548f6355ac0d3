package kernel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"

	"pbr/kernel/conntrack"
)

// markMigration carries out a conntrack.Migration as part of one apply.
type markMigration struct {
	*conntrack.Migration
	a *application
	// held are the connections whose mark was changed before the plan came into force, by their
	// key.
	held map[string]heldFlow
	// done records the changes of after, to undo them.
	done []changedFlow
	ran  bool
	// entered means that the plan's first transaction is among the steps.
	entered bool
	// failed means that connections may still have marks of earlier plans.
	failed bool
}

// newMarkMigration returns the migration from the journal's plans to the plan that a applies.
func newMarkMigration(a *application) *markMigration {
	return &markMigration{Migration: &conntrack.Migration{Want: a.owned.Marks, Earlier: plansMarks(a.journal.Owned)}, a: a}
}

// heldFlow is a connection whose mark was changed until the plan is in force, and the mark that it
// gets then.
type heldFlow struct {
	changedFlow
	bits, mask uint32
}

// changedFlow is a connection with its earlier bits under the mask of the change.
type changedFlow struct {
	conntrack.Flow
	hadMask uint32
}

// steps returns no steps if no connection can have a mark that changes its meaning. The last steps
// belong at the end of the apply: they cannot be undone.
func (r *markMigration) steps() (before, after, last []step) {
	if len(r.Stale()) == 0 {
		return nil, nil, nil
	}
	restore := r.a.undoing(r.restore)
	if r.a.parking.mark != 0 {
		restore = r.a.undoing(r.parkingBegun(r.a.parking))
	}
	return []step{{what: "change ct marks before", do: r.orWarn(r.prepare), undo: r.a.undoing(r.release), partial: true}},
		[]step{{what: "change marks of sticky clients", do: r.moveClients, undo: nothingToUndo, partial: true},
			{what: "change ct marks", do: r.orWarn(r.finish), undo: restore, partial: true}},
		[]step{{what: "delete connections of strict tables that are gone", do: r.orWarn(r.restart),
			undo: r.a.undoing(r.lost), partial: true}}
}

// nothingToUndo undoes changes that do no harm under the earlier plan.
func nothingToUndo() error { return nil }

// orWarn calls do with a conntrack connection. On a kernel without such messages connections keep
// their marks, and a warning says so.
func (r *markMigration) orWarn(do func(*netlink.Conn) error) func() error {
	return func() error {
		c, err := conntrack.Dial()
		if err == nil {
			err = errors.Join(do(c), c.Close())
		}
		if conntrack.Unsupported(err) {
			r.failed = true
			r.a.report.Warnings = append(r.a.report.Warnings, fmt.Sprintf("connections keep the marks of the earlier policy: %v", err))
			return nil
		}
		return err
	}
}

// undoing records what do could not undo.
func (a *application) undoing(do func(*netlink.Conn) error) func() error {
	return func() error {
		c, err := conntrack.Dial()
		if err == nil {
			err = errors.Join(do(c), c.Close())
		}
		if err != nil {
			a.lost = append(a.lost, err)
		}
		return err
	}
}

// each calls do for every connection with a mark of an earlier plan.
func (r *markMigration) each(c *netlink.Conn, do func(f conntrack.Flow) error) error {
	for mask, marks := range r.Stale() {
		for _, filter := range conntrack.Listings(mask, marks) {
			flows, err := conntrack.List(c, filter)
			if err != nil {
				return err
			}
			for _, f := range flows {
				if err := do(f); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// prepare changes the marks that must not be there when the plan's routes come, and remembers them.
func (r *markMigration) prepare(c *netlink.Conn) error {
	r.held = map[string]heldFlow{}
	var marks []conntrack.Marking
	err := r.each(c, func(f conntrack.Flow) error {
		key := f.Key()
		bits, mask, change := r.Before(f.Mark)
		end, endMask, _ := r.Meaning(f.Mark)
		if p := r.a.parking; p.mark != 0 && (end != 0 || r.Orphaned(f.Mark)) {
			bits, mask, endMask, change = p.mark, p.mask, p.mask, true
		}
		if _, again := r.held[key]; again || !change {
			return nil
		}
		r.held[key] = heldFlow{changedFlow{f, mask}, end, endMask}
		marks = append(marks, conntrack.Marking{Flow: &f, Bits: bits, Mask: mask})
		return nil
	})
	if err != nil {
		return err
	}
	_, err = setMarks(c, marks)
	return err
}

func (r *markMigration) release(c *netlink.Conn) error {
	var flows []changedFlow
	for _, h := range r.held {
		flows = append(flows, h.changedFlow)
	}
	r.held = nil
	return giveBack(c, flows)
}

// changeTries is how often a batch of messages about connections is sent if one of them fails.
const changeTries = 3

// setMarks changes marks, and tries again if that fails: setting a mark twice is harmless.
func setMarks(c *netlink.Conn, marks []conntrack.Marking) (found int, err error) {
	for range changeTries {
		if found, err = conntrack.SetMarks(c, marks); err == nil {
			return found, nil
		}
	}
	return found, err
}

// giveBack restores connections' earlier marks. A failure for one does not affect the others.
func giveBack(c *netlink.Conn, flows []changedFlow) error {
	marks := make([]conntrack.Marking, len(flows))
	for i := range flows {
		f := &flows[i]
		marks[i] = conntrack.Marking{Flow: &f.Flow, Bits: f.Mark & f.hadMask, Mask: f.hadMask}
	}
	if _, err := setMarks(c, marks); err == nil {
		return nil
	}
	failed := 0
	var why error
	for i := range marks {
		if _, err := setMarks(c, marks[i:i+1]); err != nil {
			failed++
			why = err
		}
	}
	if failed > 0 {
		return fmt.Errorf("the marks of %d connections could not be restored: %w", failed, why)
	}
	return nil
}

// sweeps is how often sweepAll looks for connections with marks of earlier plans: for some, the
// first packet was on its way when the plan came into force, so that they were not listed yet.
const sweeps = 3

// finish gives every connection the mark that its uplink has in the plan in force.
func (r *markMigration) finish(c *netlink.Conn) error {
	r.ran = true
	if err := r.a.journalInForce(); err != nil {
		return err
	}
	var marks []conntrack.Marking
	for _, h := range r.held {
		marks = append(marks, conntrack.Marking{Flow: &h.Flow, Bits: h.bits, Mask: h.mask})
	}
	if err := r.change(c, marks); err != nil {
		return err
	}
	return r.sweepAll(c)
}

// sweepAll changes marks until a round finds none to change.
func (r *markMigration) sweepAll(c *netlink.Conn) error {
	for range sweeps {
		n := len(r.done)
		if err := r.sweep(c); err != nil || len(r.done) == n {
			return err
		}
	}
	return nil
}

// sweep is one round of sweepAll.
func (r *markMigration) sweep(c *netlink.Conn) error {
	var marks []conntrack.Marking
	err := r.each(c, func(f conntrack.Flow) error {
		bits, mask, change := r.After(f.Mark)
		if _, held := r.held[f.Key()]; !held && change {
			marks = append(marks, conntrack.Marking{Flow: &f, Bits: bits, Mask: mask})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.change(c, marks)
}

// restart deletes the connections of strict tables that are gone together with their uplink. Until
// then the ruleset drops their packets.
func (r *markMigration) restart(c *netlink.Conn) error {
	remove := func(f conntrack.Flow) error {
		if !r.Orphaned(f.Mark) {
			return nil
		}
		var err error
		for range changeTries {
			var found bool
			if found, err = f.Remove(c); found {
				r.a.report.Restarted++
			}
			if err == nil {
				break
			}
		}
		return err
	}
	for _, h := range r.held {
		if err := remove(h.Flow); err != nil {
			return err
		}
	}
	return r.each(c, remove)
}

// lost is the undo of restart.
func (r *markMigration) lost(*netlink.Conn) error {
	if n := r.a.report.Restarted; n > 0 {
		return fmt.Errorf("%d connections of a strict table were deleted: their next packet starts a new one", n)
	}
	return nil
}

// change changes marks, except those of connections that restart deletes, and records the earlier
// ones: a message that failed may still have taken effect.
func (r *markMigration) change(c *netlink.Conn, marks []conntrack.Marking) error {
	marks = slices.DeleteFunc(marks, func(m conntrack.Marking) bool { return r.Orphaned(m.Mark) })
	cleared, moved := split(marks, func(m conntrack.Marking) bool { return m.Bits == 0 })
	for _, m := range marks {
		r.done = append(r.done, changedFlow{r.asFound(*m.Flow), m.Mask})
	}
	n, err := setMarks(c, cleared)
	r.a.report.Cleared += n
	if err != nil {
		return err
	}
	n, err = setMarks(c, moved)
	r.a.report.Moved += n
	return err
}

// asFound returns a connection with the mark that it has just before after.
func (r *markMigration) asFound(f conntrack.Flow) conntrack.Flow {
	if _, held := r.held[f.Key()]; held {
		f.Mark = f.Mark&^r.a.parking.mask | r.a.parking.mark
	}
	return f
}

// split splits a list in two by a condition.
func split[T any](list []T, belongs func(T) bool) (in, out []T) {
	for _, x := range list {
		if belongs(x) {
			in = append(in, x)
		} else {
			out = append(out, x)
		}
	}
	return in, out
}

func (r *markMigration) restore(c *netlink.Conn) error {
	flows := r.done
	r.done = nil
	return giveBack(c, flows)
}
