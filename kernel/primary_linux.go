package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
)

// keepPrimary returns the steps that pin the connections of an uplink before default leaves it. The
// first step makes the rules mark new connections, as for every other uplink; the second marks the
// existing ones.
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
	return append(steps, step{what: "pin connections to " + m.iface, do: p.pin, undo: a.undoing(p.release), partial: true})
}

// pinNew makes the ruleset in force pin the primary uplink's new connections, too.
func (a *application) pinNew(have *live) step {
	next := withoutPrimary(have.plan.Ruleset)
	return step{
		what: "nftables transaction: no connection stays unmarked", partial: true,
		do: func() error {
			err := a.transact(&next, nil)
			nft.AwaitPackets()
			return err
		},
		undo: func() error { return a.transact(&have.plan.Ruleset, nil) },
	}
}

// pinning gives the unmarked connections of a primary uplink its mark.
type pinning struct {
	primaryMove
	a    *application
	done []changedFlow
	// through caches, by address, whether unmarked packets to it leave through the uplink.
	through map[netip.Addr]bool
}

// pin makes the apply fail if it fails, because connections would break. They do break on a kernel
// without messages about connections.
func (p *pinning) pin() error {
	c, err := conntrack.Dial()
	if err == nil {
		err = errors.Join(p.pinListed(c), c.Close())
	}
	if conntrack.Unsupported(err) {
		p.a.report.Warnings = append(p.a.report.Warnings, fmt.Sprintf("connections through %s cannot be pinned to it: %v", p.iface, err))
		return nil
	}
	p.a.report.Pinned += len(p.done)
	return err
}

func (p *pinning) pinListed(c *netlink.Conn) error {
	p.through = map[netip.Addr]bool{}
	flows, err := conntrack.List(c, conntrack.Unmarked(p.mask))
	if err != nil {
		return err
	}
	var marks []conntrack.Marking
	for i := range flows {
		if f := &flows[i]; p.has(f) {
			p.done = append(p.done, changedFlow{*f, p.mask})
			marks = append(marks, conntrack.Marking{Flow: f, Bits: p.mark, Mask: p.mask})
		}
	}
	_, err = setMarks(c, marks)
	return err
}

func (p *pinning) release(c *netlink.Conn) error {
	flows := p.done
	p.done = nil
	return giveBack(c, flows)
}

// has reports whether a connection uses the uplink: unmarked packets to one of its ends leave
// through it. The far end is the source of the answers, or of the connection if it came from
// outside.
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
