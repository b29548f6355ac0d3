package kernel

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"

	"pbr/kernel/conntrack"
)

// remarking carries out Remarks, as a part of one apply.
type remarking struct {
	*conntrack.Remarks
	a *application
	// held are the connections that were changed before the plan came into force, by their request.
	held map[string]heldFlow
	// done has what after changed, for its undoing.
	done []changedFlow
	ran  bool
	// failed tells that connections may be left with marks of earlier plans.
	failed bool
}

// newRemarking is for the plan that a is to apply, after those of the journal.
func newRemarking(a *application) *remarking {
	return &remarking{Remarks: &conntrack.Remarks{Want: a.owned.Marks, Earlier: plansMarks(a.journal.Owned)}, a: a}
}

// heldFlow is a connection whose mark was changed for the time until the plan is in force, and what it is to have then.
type heldFlow struct {
	changedFlow
	bits, mask uint32
}

// changedFlow is a connection with the bits it had under the mask under which they were changed.
type changedFlow struct {
	conntrack.Flow
	hadMask uint32
}

// steps are empty when no connection can have a mark that changes its meaning. The last ones are for the end of the apply: what they do
// cannot be undone.
func (r *remarking) steps() (before, after, last []step) {
	if len(r.Stale()) == 0 {
		return nil, nil, nil
	}
	return []step{{what: "change ct marks before", do: r.loudly(r.prepare), undo: r.a.undoing(r.release), partial: true}},
		[]step{{what: "change ct marks", do: r.loudly(r.finish), undo: r.a.undoing(r.restore), partial: true}},
		[]step{{what: "delete connections of strict tables that are gone", do: r.loudly(r.restart), undo: r.a.undoing(r.lost), partial: true}}
}

// loudly gives do a connection. On a kernel that has no such messages connections keep their marks, with a warning.
func (r *remarking) loudly(do func(*netlink.Conn) error) func() error {
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

// undoing notes what do cannot undo.
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
func (r *remarking) each(c *netlink.Conn, do func(f conntrack.Flow) error) error {
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

// prepare changes what must not keep its mark when the plan's routes come, and keeps what it was.
func (r *remarking) prepare(c *netlink.Conn) error {
	r.held = map[string]heldFlow{}
	return r.each(c, func(f conntrack.Flow) error {
		key := f.Key()
		bits, mask, change := r.Before(f.Mark)
		if _, again := r.held[key]; again || !change {
			return nil
		}
		end, endMask, _ := r.Meaning(f.Mark)
		h := heldFlow{changedFlow{f, mask}, end, endMask}
		r.held[key] = h
		_, err := h.set(c, bits)
		return err
	})
}

func (r *remarking) release(c *netlink.Conn) error {
	var flows []changedFlow
	for _, h := range r.held {
		flows = append(flows, h.changedFlow)
	}
	r.held = nil
	return giveBack(c, flows)
}

// changeTries is how often a message about one connection is sent that fails.
const changeTries = 3

// giveBack gives connections the marks that they had.
func giveBack(c *netlink.Conn, flows []changedFlow) error {
	failed := 0
	var why error
	for _, f := range flows {
		if _, err := f.set(c, f.Mark&f.hadMask); err != nil {
			failed++
			why = err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d connections did not get their marks back: %w", failed, why)
	}
	return nil
}

// set changes the bits that were changed before, or are to be, and tries again if that fails.
func (f *changedFlow) set(c *netlink.Conn, bits uint32) (found bool, err error) {
	for range changeTries {
		if found, err = f.SetMark(c, bits, f.hadMask); err == nil {
			return found, nil
		}
	}
	return false, err
}

// sweeps is how often finish looks for connections with marks of earlier plans: the first packet of some was on its way when the
// plan came into force, so that they were not listed yet.
const sweeps = 3

// finish gives every connection the mark that the plan in force has for its uplink.
func (r *remarking) finish(c *netlink.Conn) error {
	r.ran = true
	if err := r.a.journalInForce(); err != nil {
		return err
	}
	for _, h := range r.held {
		if err := r.change(c, h.Flow, h.bits, h.mask); err != nil {
			return err
		}
	}
	for range sweeps {
		n := len(r.done)
		if err := r.sweep(c); err != nil || len(r.done) == n {
			return err
		}
	}
	return nil
}

// sweep is one look for finish.
func (r *remarking) sweep(c *netlink.Conn) error {
	return r.each(c, func(f conntrack.Flow) error {
		bits, mask, change := r.After(f.Mark)
		if _, held := r.held[f.Key()]; held || !change || r.Orphaned(f.Mark) {
			return nil
		}
		return r.change(c, f, bits, mask)
	})
}

// restart deletes the connections of strict tables that are gone with their uplink. Until then the ruleset drops their packets.
func (r *remarking) restart(c *netlink.Conn) error {
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

// lost is the undoing of restart.
func (r *remarking) lost(*netlink.Conn) error {
	if n := r.a.report.Restarted; n > 0 {
		return fmt.Errorf("%d connections of a strict table were deleted: their next packets start new ones", n)
	}
	return nil
}

func (r *remarking) change(c *netlink.Conn, f conntrack.Flow, bits, mask uint32) error {
	if r.Orphaned(f.Mark) {
		return nil // for restart
	}
	changed := changedFlow{f, mask}
	found, err := changed.set(c, bits)
	if err != nil || !found {
		return err
	}
	r.done = append(r.done, changed)
	if bits == 0 {
		r.a.report.Cleared++
	} else {
		r.a.report.Moved++
	}
	return nil
}

func (r *remarking) restore(c *netlink.Conn) error {
	flows := r.done
	r.done = nil
	return giveBack(c, flows)
}
