package route

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// RuleEdit adds and deletes rules. It lists the rules of a family at most once, and does not see
// later changes by others. So use one RuleEdit for one burst of changes.
type RuleEdit struct {
	c *Conn
	// live are the rules of the families listed so far, in the kernel's order.
	live map[plan.Family][]liveRule
}

// EditRules begins a burst of changes.
func (c *Conn) EditRules() *RuleEdit { return &RuleEdit{c: c, live: map[plan.Family][]liveRule{}} }

// AddRule is Add for one rule.
func (c *Conn) AddRule(r plan.Rule) error { return c.EditRules().Add(r) }

// DelRule is Del for one rule.
func (c *Conn) DelRule(r plan.Rule) error { return c.EditRules().Del(r) }

// DelRules is Del for many rules. It stops at the first error.
func (c *Conn) DelRules(rules []plan.Rule) error {
	e := c.EditRules()
	for _, r := range rules {
		if err := e.Del(r); err != nil {
			return err
		}
	}
	return nil
}

// Add adds a rule. It is an error if an equal rule exists, as in ip rule add.
//
// The kernel's own check (NLM_F_EXCL) also reports a duplicate if a rule of the same priority
// selects more addresses, is the inverted rule, or has another protocol. So its error is verified
// before it is returned.
func (e *RuleEdit) Add(r plan.Rule) error {
	if err := e.add(r); err != nil {
		return fmt.Errorf("adding %s: %w", describeRule(r), err)
	}
	return nil
}

func (e *RuleEdit) add(r plan.Rule) error {
	body, err := encodeRule(r)
	if err != nil {
		return err
	}
	err = e.c.request(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
	if errors.Is(err, unix.EEXIST) {
		live, listErr := e.list(r.Family)
		if listErr != nil {
			return errors.Join(err, listErr)
		}
		if _, found := find(live, r); found {
			return err
		}
		err = e.c.request(unix.RTM_NEWRULE, unix.NLM_F_CREATE, body)
	}
	if err == nil {
		e.added(liveRule{r, body})
	}
	return err
}

// added records a new rule, which the kernel puts after the others of its priority.
func (e *RuleEdit) added(l liveRule) {
	live, listed := e.live[l.Family]
	if !listed {
		return
	}
	at, _ := slices.BinarySearchFunc(live, uint64(l.Priority)+1,
		func(l liveRule, p uint64) int { return cmp.Compare(uint64(l.Priority), p) })
	e.live[l.Family] = slices.Insert(live, at, l)
}

// list returns the family's rules.
func (e *RuleEdit) list(family plan.Family) ([]liveRule, error) {
	live, listed := e.live[family]
	if listed {
		return live, nil
	}
	live, err := e.c.rules(family)
	if err != nil {
		return nil, err
	}
	e.live[family] = live
	return live, nil
}

// find returns the index of exactly this rule.
func find(live []liveRule, r plan.Rule) (at int, found bool) {
	for at = firstOf(live, r.Priority); at < len(live) && live[at].Priority == r.Priority; at++ {
		if live[at].Rule == r {
			return at, true
		}
	}
	return at, false
}

// firstOf returns the index of the first rule of a priority.
func firstOf(live []liveRule, priority uint32) int {
	at, _ := slices.BinarySearchFunc(live, priority, func(l liveRule, p uint32) int { return cmp.Compare(l.Priority, p) })
	return at
}

// Del deletes exactly this rule, as read or as added; if it does not exist, that is success.
//
// The kernel deletes the first rule that agrees with the given attributes; a missing attribute
// means "any". So deleting "lookup 100" would delete "from 10.0.0.0/8 lookup 100" of the same
// priority, if that comes first. Therefore the rule's own message is sent back, and rules in its
// way are deleted and added again.
func (e *RuleEdit) Del(r plan.Rule) error {
	if r.Family != plan.IPv4 && r.Family != plan.IPv6 {
		return fmt.Errorf("deleting %s: invalid address family %d", describeRule(r), r.Family)
	}
	if _, err := e.list(r.Family); err != nil {
		return fmt.Errorf("deleting %s: %w", describeRule(r), err)
	}
	if err := e.del(r); err != nil {
		return fmt.Errorf("deleting %s: %w", describeRule(r), err)
	}
	return nil
}

func (e *RuleEdit) del(r plan.Rule) error {
	live := e.live[r.Family]
	at, found := find(live, r)
	if !found {
		return nil
	}
	var inTheWay []liveRule
	for _, l := range live[firstOf(live, r.Priority):at] {
		if takenFor(l.Rule, r) {
			inTheWay = append(inTheWay, l)
		}
	}
	for _, l := range inTheWay {
		if err := e.del(l.Rule); err != nil {
			return err
		}
	}
	live = e.live[r.Family]
	if at, found = find(live, r); !found {
		return nil
	}
	err := e.c.request(unix.RTM_DELRULE, 0, live[at].msg)
	if err == nil || absent(err) {
		e.live[r.Family], err = slices.Delete(live, at, at+1), nil
	}
	for _, l := range inTheWay {
		if back := e.c.request(unix.RTM_NEWRULE, unix.NLM_F_CREATE, l.msg); back != nil {
			return fmt.Errorf("putting back %s: %w", describeRule(l.Rule), back)
		}
		e.added(l)
	}
	return err
}

// takenFor reports whether the kernel may delete l when asked to delete r: l has all of r's
// selectors, and may have more. If in doubt it returns true.
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
