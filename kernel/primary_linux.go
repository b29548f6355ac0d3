package kernel

import (
	"errors"
	"net/netip"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
)

// keepPrimary returns the steps that pin the connections of an uplink that default leaves, before it does: from the first step on
// new connections get a mark as those of every other uplink do, and the second one gives it to those that are there.
func (a *application) keepPrimary(have *live) []step {
	if a.marks == nil || len(a.journal.Owned) == 0 {
		return nil
	}
	m, moves := movesPrimary(have.plan, a.want, a.journal.Owned[0])
	if !moves {
		return nil
	}
	var steps []step
	if m.replaced {
		steps = append(steps, a.pinNew(have))
	}
	p := &pinning{a: a, primaryMove: m}
	return append(steps, step{what: "pin connections to " + m.iface, do: p.pin, undo: p.release})
}

// pinNew makes the ruleset that is in force pin the new connections of the primary uplink, too.
func (a *application) pinNew(have *live) step {
	next := withoutPrimary(have.plan.Ruleset)
	return step{
		what: "nftables transaction: no connection stays unmarked",
		do: func() error {
			err := a.transact(&next)
			nft.AwaitPackets()
			return err
		},
		undo: func() error { return a.transact(&have.plan.Ruleset) },
	}
}

// pinning gives the unmarked connections of a primary uplink its mark.
type pinning struct {
	primaryMove
	a    *application
	done []changedFlow
	// through has, by address, whether packets without a mark leave through the uplink towards it.
	through map[netip.Addr]bool
}

// pin fails the apply if it fails: connections would break.
func (p *pinning) pin() error {
	p.through = map[netip.Addr]bool{}
	c, err := conntrack.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	flows, err := conntrack.List(c, conntrack.Unmarked(p.mask))
	if err != nil {
		return err
	}
	for _, f := range flows {
		if !p.has(&f) {
			continue
		}
		found, err := f.SetMark(c, p.mark, p.mask)
		if err != nil {
			return errors.Join(err, p.release())
		}
		if found {
			p.done = append(p.done, changedFlow{f, p.mask})
		}
	}
	p.a.report.Pinned += len(p.done)
	return nil
}

func (p *pinning) release() error {
	c, err := conntrack.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	var errs []error
	for _, d := range p.done {
		_, err := d.SetMark(c, 0, d.hadMask)
		errs = append(errs, err)
	}
	p.done = nil
	return errors.Join(errs...)
}

// has reports whether a connection goes through the uplink: one of its ends is where packets without a mark are sent
// through it. The far end is the source of the answers, or of the connection if it came from outside.
func (p *pinning) has(flow *conntrack.Flow) bool {
	for _, end := range flow.Ends() {
		family := plan.IPv4
		if end.Is6() {
			family = plan.IPv6
		}
		if end.IsValid() && p.moves(family) && p.leads(end) {
			return true
		}
	}
	return false
}

func (p *pinning) moves(family plan.Family) bool {
	for _, f := range p.families {
		if f == family {
			return true
		}
	}
	return false
}

func (p *pinning) leads(to netip.Addr) bool {
	leads, known := p.through[to]
	if !known {
		leads = p.a.route.LeadsThrough(to, p.iface)
		p.through[to] = leads
	}
	return leads
}
