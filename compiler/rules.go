package compiler

import (
	"net/netip"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// mainSpecific returns what Rule.SuppressPrefix is for a look-up in main that ignores its default
// routes.
func mainSpecific(family plan.Family) uint32 { return uint32(plan.DefaultLength(family)) + 1 }

// linkLocal6 must reach main before any table of ours: a default route of ours over another
// interface would take a router's own neighbour.
var linkLocal6 = netip.MustParsePrefix("fe80::/10")

func (c *compilation) addRule(r plan.Rule, offset uint32) {
	r.Priority = c.doc.Settings.RulePriority + offset
	r.Protocol = plan.Protocol
	if r.Action == 0 {
		r.Action = plan.ActLookup
	}
	c.out.Rules = append(c.out.Rules, r)
}

func (c *compilation) addRules() {
	c.addUserRules()
	for _, family := range c.families() {
		c.addMarkRules(family)
		c.addSourceRules(family)
		c.addDefaultRule(family)
		first := uint32(priorityMainFirst)
		if c.addOwnCardRules(family) {
			first = priorityMainSecond
		}
		// The first ip rule makes every packet of its family dearer, so a family that pbr
		// does not steer gets none.
		if slices.ContainsFunc(c.out.Rules, func(r plan.Rule) bool { return r.Family == family }) {
			c.addMainFirst(family, first)
		}
	}
}

// addMainFirst adds the look-ups of main's routes: those that come before everything at the offset
// first.
func (c *compilation) addMainFirst(family plan.Family, first uint32) {
	specific := plan.Rule{Family: family, Table: plan.MainTable, SuppressPrefix: mainSpecific(family)}
	if c.doc.Settings.MainFirst == policy.MainFirstSpecific {
		c.addRule(specific, first)
		return
	}
	c.addRule(specific, priorityMain)
	if family == plan.IPv6 {
		c.addRule(plan.Rule{Family: family, Dst: linkLocal6, Table: plan.MainTable, SuppressPrefix: mainSpecific(family)}, first)
	}
	if c.doc.Settings.MainFirst != policy.MainFirstConnected {
		return
	}
	if !c.host.Known {
		c.out.Dynamic = append(c.out.Dynamic, plan.Dynamic{
			Kind: plan.ConnectedRules, Family: family, Table: plan.MainTable, SuppressPrefix: mainSpecific(family),
			Priority: c.doc.Settings.RulePriority + priorityMainFirst,
		})
	}
	for _, network := range c.host.Connected {
		if plan.FamilyOf(network.Addr()) == family {
			// Not by a default route: a network whose interface is down must not leave through an
			// uplink.
			c.addRule(plan.Rule{Family: family, Dst: network, Table: plan.MainTable, SuppressPrefix: mainSpecific(family)}, first)
		}
	}
}

// addMarkRules adds one rule for each table that can hold a route of the family. A table that never
// can is omitted: its packets continue to default, as they would from an empty table. The rules
// leave the inside bit out: pbr gives it to no packet, but a program that copies whole connection
// marks to packets does.
func (c *compilation) addMarkRules(family plan.Family) {
	marks := 0
	for _, n := range c.out.Numbers {
		if n.Mark == 0 || !c.holds(n, family) {
			continue
		}
		c.addRule(plan.Rule{Family: family, Mark: n.Mark, MarkMask: c.out.NumberMask(), Table: n.Table}, c.markOffset(n.Mark))
		marks++
	}
	c.addMarkTree(family, marks)
}

// holds reports whether the policy, whatever the machine's state, puts routes of the family into a
// table.
func (c *compilation) holds(n plan.Number, family plan.Family) bool {
	switch {
	case n.Uplink != "":
		return Carries(c.uplinks[n.Uplink], family)
	case n.Strict:
		return true
	}
	t := c.doc.Table(n.Name)
	for _, r := range c.returns {
		if r.Name == n.Name && t == nil {
			t = r.Table
		}
	}
	return t != nil && c.tableHolds(t, family)
}

func (c *compilation) tableHolds(t *policy.Table, family plan.Family) bool {
	if t.Strict {
		return true
	}
	for _, r := range t.Routes {
		if Carries(c.uplinks[r.Uplink], family) && (!r.Dst.IsValid() || plan.FamilyOf(r.Dst.Addr()) == family) {
			return true
		}
	}
	return false
}

// addSourceRules adds "from ADDRESS lookup PINNED" for sockets bound to an uplink's address. A
// packet that carries a table's mark is not theirs: it is steered by marks or by rules, never by
// both. Where main's specific routes come later they come first here anyway: the router answers its
// LANs from these addresses, too.
func (c *compilation) addSourceRules(family plan.Family) {
	for i := range c.doc.Uplinks {
		u := &c.doc.Uplinks[i]
		if !Carries(u, family) {
			continue
		}
		for _, mark := range slices.Compact([]uint32{0, c.pastRules()}) {
			if c.doc.Settings.MainFirst != policy.MainFirstSpecific {
				c.addSourceRule(u, family, plan.Rule{Mark: mark, Table: plan.MainTable,
					SuppressPrefix: mainSpecific(family)}, prioritySourceMain)
			}
			c.addSourceRule(u, family, plan.Rule{Mark: mark, Table: c.numbers.table(u.Name)}, prioritySource)
		}
	}
}

// addSourceRule adds one look-up for each address of an uplink.
func (c *compilation) addSourceRule(u *policy.Uplink, family plan.Family, lookup plan.Rule, offset uint32) {
	if !c.host.Known {
		c.out.Dynamic = append(c.out.Dynamic, plan.Dynamic{
			Kind: plan.SourceRules, Family: family, Interface: u.Interface, Uplink: u.Name, Table: lookup.Table,
			SuppressPrefix: lookup.SuppressPrefix, Priority: c.doc.Settings.RulePriority + offset, Mark: lookup.Mark, MarkMask: c.mask,
		})
		return
	}
	for _, addr := range c.host.Links[u.Interface].Addrs {
		if plan.FamilyOf(addr) == family {
			lookup.Family, lookup.Src, lookup.MarkMask = family, netip.PrefixFrom(addr, addr.BitLen()), c.mask
			c.addRule(lookup, offset)
		}
	}
}

func (c *compilation) addDefaultRule(family plan.Family) {
	if d := c.doc.Default; d != nil && c.tableHolds(d, family) {
		c.addRule(plan.Rule{Family: family, Table: c.numbers.table(plan.DefaultName)}, priorityDefault)
	}
}
