package kernel

import (
	"github.com/mdlayher/netlink"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
)

// dropInside takes the bit from the marks of the plan in force, makes its rules look at all bits,
// and notes that in the journal. It reports whether there was a bit.
func (a *application) dropInside(live *plan.Plan) (bool, error) {
	if len(a.journal.Owned) == 0 || a.journal.Owned[0].Inside == 0 {
		return false, nil
	}
	was := a.journal.Owned[0]
	for _, s := range append(a.clearInside(&live.Ruleset, was), a.widenRules(live.Rules, was)...) {
		if err := a.run(s); err != nil {
			return false, &ApplyError{Cause: err, Undo: a.rollBack()}
		}
	}
	plain := was
	plain.Marks = conntrack.Marks{Mask: was.Mask, Numbers: was.Plain()}
	journal := *a.journal
	journal.Owned = append([]owned{plain}, a.journal.Owned[1:]...)
	if err := a.writeJournal(&journal); err != nil {
		return false, &ApplyError{Cause: err, Undo: a.rollBack()}
	}
	return true, nil
}

// widenRules returns the steps after which the rules for numbers look at all bits of the mask, as
// those of the next plan will, whose numbers may have the bit. What others copied from a
// connection's mark to a packet before has been routed by then.
func (a *application) widenRules(rules []plan.Rule, was owned) (steps []step) {
	a.rules = a.route.EditRules()
	inForce := &plan.Plan{Mask: was.Mask, Inside: was.Inside}
	var narrow ruleOrder
	for _, r := range rules {
		if r.Protocol == plan.Protocol && r.MarkMask != was.Mask && inForce.SelectsNumber(r) {
			narrow.del = append(narrow.del, r)
			r.MarkMask = was.Mask
			narrow.add = append(narrow.add, r)
		}
	}
	narrow.sort()
	for _, r := range missing(narrow.add, rules) {
		steps = append(steps, a.addRule(r))
	}
	wait := step{what: "wait for packets with earlier marks",
		do: func() error { nft.AwaitPackets(); return nil }, undo: func() error { return nil }}
	steps = append(steps, wait)
	for _, r := range narrow.del {
		steps = append(steps, a.delRule(r))
	}
	return steps
}

// clearInside returns the steps after which no connection's mark has the bit.
func (a *application) clearInside(have *plan.Ruleset, was owned) []step {
	next := noneFromInside(have, was.Inside)
	var done []changedFlow
	return []step{{
		what: "nftables transaction: no connection is marked as opened from inside", partial: true,
		do: func() error {
			err := a.transact(&next, nil)
			nft.AwaitPackets()
			return err
		},
		undo: func() error { return a.transact(have, nil) },
	}, {
		what: "change ct marks of connections from inside", partial: true,
		do: a.marks.orWarn(func(c *netlink.Conn) error {
			flows, err := conntrack.List(c, conntrack.Bit(was.Inside))
			if err != nil {
				return err
			}
			var marks []conntrack.Marking
			for i := range flows {
				if n, known := was.Number(flows[i].Mark & was.Mask); known && n.Inside {
					done = append(done, changedFlow{flows[i], was.Inside})
					marks = append(marks, conntrack.Marking{Flow: &flows[i], Mask: was.Inside})
				}
			}
			_, err = setMarks(c, marks)
			return err
		}),
		undo: a.undoing(func(c *netlink.Conn) error { return giveBack(c, done) }),
	}}
}
