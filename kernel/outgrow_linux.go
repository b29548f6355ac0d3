package kernel

import (
	"github.com/mdlayher/netlink"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
)

// dropInside takes the bit from the marks of the plan in force, and notes that in the journal. It
// reports whether there was one.
func (a *application) dropInside(have *plan.Ruleset) (bool, error) {
	if len(a.journal.Owned) == 0 || a.journal.Owned[0].Inside == 0 {
		return false, nil
	}
	was := a.journal.Owned[0]
	next := noneFromInside(have, was.Inside)
	var done []changedFlow
	steps := []step{{
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
	for _, s := range steps {
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
