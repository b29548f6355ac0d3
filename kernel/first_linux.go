package kernel

import (
	"errors"
	"slices"

	"github.com/mdlayher/netlink"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/nft"
)

// On a first apply others may have routed and translated connections so far. Their unmarked packets
// must not be routed anew before they are pinned: the kernel ends a masqueraded connection when one
// of its packets leaves through another interface (nf_nat_oif_changed,
// net/netfilter/nf_nat_core.c). So the rules for unmarked packets come after the ruleset and the
// pins.

// first reports whether nothing of pbr is in this network namespace.
func (a *application) first(have *live) bool {
	return a.marks != nil && len(a.journal.Owned) == 0 && have.plan.Ruleset.Empty()
}

// holdUnmarked takes the rules for unmarked packets out of an order.
func (a *application) holdUnmarked(o *ruleOrder) (held []plan.Rule) {
	marked := o.add[:0:0]
	for _, r := range o.add {
		if r.Priority >= a.want.BasePriority+plan.UnmarkedOffset {
			held = append(held, r)
		} else {
			marked = append(marked, r)
		}
	}
	o.add = marked
	return held
}

// primary reports whether a mark is that of default's primary uplink, whose connections the rules
// for unmarked packets will not move.
func (a *application) primary(f *conntrack.Flow, mark uint32) bool {
	iface := primaryInterface(&a.want.Ruleset, plan.FamilyOf(f.Orig.Src))
	return iface != "" && slices.ContainsFunc(a.want.Numbers, func(n plan.Number) bool { return n.Mark == mark && n.Interface == iface })
}

// pinOlder pins the connections that the rules for unmarked packets would move. An error is none
// here: adopt looks at all of them in the end, and reports what fails.
func (a *application) pinOlder() step {
	var done []changedFlow
	giveUp := a.undoing(func(c *netlink.Conn) error { return giveBack(c, done) })
	return step{
		what: "pin connections older than the table", partial: true,
		do: func() error {
			nft.AwaitPackets()
			if c, err := conntrack.Dial(); err == nil {
				done, err = a.pinJudged(c)
				_ = errors.Join(err, c.Close())
			}
			return nil
		},
		undo: func() error {
			if len(done) == 0 { // -- perhaps because the kernel has no messages about connections
				return nil
			}
			return giveUp()
		},
	}
}

// pinJudged pins connections as adopt would, and returns them.
func (a *application) pinJudged(c *netlink.Conn) (done []changedFlow, err error) {
	flows, err := conntrack.List(c, conntrack.Unmarked(a.want.Mask))
	if err != nil {
		return nil, err
	}
	var unanswered error
	judge, err := a.judge(&unanswered)
	if err != nil {
		return nil, err
	}
	flows = slices.DeleteFunc(flows, func(f conntrack.Flow) bool { return !judge.Carries(&f) })
	todo := decide(judge, flows, map[string]bool{})
	var marks []conntrack.Marking
	for _, p := range todo.pin {
		if a.primary(p.Flow, p.mark) {
			continue
		}
		done = append(done, changedFlow{*p.Flow, a.want.Mask})
		marks = append(marks, conntrack.Marking{Flow: p.Flow, Bits: p.mark, Mask: a.want.Mask})
	}
	n, err := setMarks(c, marks)
	a.report.Adopted += n
	return done, errors.Join(err, unanswered)
}
