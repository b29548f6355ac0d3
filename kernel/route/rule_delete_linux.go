package route

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// DelRule deletes exactly this rule, as read or as added; that it is absent is success.
func (c *Conn) DelRule(r plan.Rule) error { return c.DelRules([]plan.Rule{r}) }

// DelRules is DelRule for many, with one listing a family. It stops at the first error.
//
// The kernel deletes the first rule that agrees with the attributes given, and takes one that is not given for
// "whatever": deleting "lookup 100" would take "from 10.0.0.0/8 lookup 100" of the same priority, if that comes
// first. So the rule's own message is sent back, and what stands in its way is taken out and added again.
func (c *Conn) DelRules(rules []plan.Rule) error {
	for _, family := range plan.Families {
		if !slices.ContainsFunc(rules, func(r plan.Rule) bool { return r.Family == family }) {
			continue
		}
		live, err := c.rules(family)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if r.Family != family {
				continue
			}
			if live, err = c.delRule(live, r); err != nil {
				return fmt.Errorf("deleting %s: %w", describeRule(r), err)
			}
		}
	}
	return nil
}

// delRule deletes r, and returns what live is then.
func (c *Conn) delRule(live []liveRule, r plan.Rule) ([]liveRule, error) {
	at := slices.IndexFunc(live, func(l liveRule) bool { return l.Rule == r })
	if at < 0 {
		return live, nil
	}
	var inTheWay []liveRule
	for _, l := range live[:at] {
		if takenFor(l.Rule, r) {
			inTheWay = append(inTheWay, l)
		}
	}
	for _, l := range inTheWay {
		var err error
		if live, err = c.delRule(live, l.Rule); err != nil {
			return live, err
		}
	}
	at = slices.IndexFunc(live, func(l liveRule) bool { return l.Rule == r })
	err := c.request(unix.RTM_DELRULE, 0, live[at].msg)
	if err == nil || absent(err) {
		live, err = slices.Delete(live, at, at+1), nil
	}
	for _, l := range inTheWay {
		if back := c.request(unix.RTM_NEWRULE, unix.NLM_F_CREATE, l.msg); back != nil {
			return live, fmt.Errorf("putting back %s: %w", describeRule(l.Rule), back)
		}
		live = append(live, l)
	}
	slices.SortStableFunc(live, func(a, b liveRule) int { return int(int64(a.Priority) - int64(b.Priority)) })
	return live, err
}

// takenFor tells whether the kernel may take l for r when asked to delete r: all that r selects by
// is the same in l, which may select by more. It says yes when in doubt.
func takenFor(l, r plan.Rule) bool {
	return loose(l.Priority, r.Priority) && loose(l.Action, r.Action) && loose(l.Table, r.Table) && loose(l.Protocol, r.Protocol) &&
		loose(l.SuppressPrefix, r.SuppressPrefix) && loose(l.IIF, r.IIF) && loose(l.OIF, r.OIF) &&
		loose(l.Mark, r.Mark) && loose(l.MarkMask, r.MarkMask) && (!r.HasUID || l.HasUID && l.UID == r.UID) &&
		loose(l.Proto, r.Proto) && loose(l.SPort, r.SPort) && loose(l.DPort, r.DPort) && loose(l.TOS, r.TOS) &&
		loose(l.DSCP, r.DSCP) && loose(l.Src, r.Src) && loose(l.Dst, r.Dst)
}

func loose[T uint8 | uint32 | string | plan.RuleAction | plan.PortRange | netip.Prefix](l, r T) bool {
	var unset T
	return r == unset || l == r
}
