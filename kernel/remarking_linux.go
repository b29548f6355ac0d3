package kernel

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"

	"pbr/kernel/conntrack"
)

// remarking carries out Remarks, as a part of one apply. It never fails that: what cannot be done becomes a warning.
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

// steps are empty when no connection can have a mark that changes its meaning.
func (r *remarking) steps() (before, after []step) {
	if len(r.Stale()) == 0 {
		return nil, nil
	}
	return []step{{what: "change ct marks before", do: r.quietly(r.prepare), undo: r.quietly(r.release)}},
		[]step{{what: "change ct marks", do: r.quietly(r.finish), undo: r.quietly(r.restore)}}
}

// quietly turns an error into a warning.
func (r *remarking) quietly(do func(*netlink.Conn) error) func() error {
	return func() error {
		c, err := conntrack.Dial()
		if err == nil {
			err = errors.Join(do(c), c.Close())
		}
		if err != nil {
			r.failed = true
			r.a.report.Warnings = append(r.a.report.Warnings, err.Error())
		}
		return nil
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
		r.held[key] = heldFlow{changedFlow{f, mask}, end, endMask}
		_, err := f.SetMark(c, bits, mask)
		return err
	})
}

func (r *remarking) release(c *netlink.Conn) error {
	var errs []error
	for _, h := range r.held {
		_, err := h.SetMark(c, h.Mark&h.hadMask, h.hadMask)
		errs = append(errs, err)
	}
	r.held = nil
	return errors.Join(errs...)
}

// finish gives every connection the mark that the plan in force has for its uplink's name.
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
	return r.each(c, func(f conntrack.Flow) error {
		bits, mask, change := r.After(f.Mark)
		if _, held := r.held[f.Key()]; held || !change {
			return nil
		}
		return r.change(c, f, bits, mask)
	})
}

func (r *remarking) change(c *netlink.Conn, f conntrack.Flow, bits, mask uint32) error {
	if r.Orphaned(f.Mark) {
		found, err := f.Remove(c)
		if found {
			r.a.report.Restarted++
		}
		return err
	}
	found, err := f.SetMark(c, bits, mask)
	if err != nil || !found {
		return err
	}
	r.done = append(r.done, changedFlow{f, mask})
	if bits == 0 {
		r.a.report.Cleared++
	} else {
		r.a.report.Moved++
	}
	return nil
}

func (r *remarking) restore(c *netlink.Conn) error {
	var errs []error
	for _, d := range r.done {
		_, err := d.SetMark(c, d.Mark&d.hadMask, d.hadMask)
		errs = append(errs, err)
	}
	r.done = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("giving connections their marks back: %w", err)
	}
	return nil
}
