package adopt

import (
	"maps"
	"slices"

	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/walk"
	"pbr/kernel/conntrack"
	"pbr/kernel/route"
)

// connection is one connection while Judge decides about it.
type connection struct {
	*Judge
	flow *conntrack.Flow
	// mark is its present mark; 0 if that mark belongs to no table.
	mark uint32
	// local is true if the router opened the connection; otherwise iif is the interface that it
	// arrived on.
	local bool
	iif   string
}

// fromOutside reports whether the connection was opened through an uplink.
func (c *connection) fromOutside() bool {
	if c.local {
		return false
	}
	return c.iif == "" && len(c.carriers(c.flow.Orig.Dst)) > 0 || c.uplinks[c.iif] != nil
}

// fromInside reports whether a host inside, or the router itself, opened the connection.
func (c *connection) fromInside() bool { return c.local || c.iif != "" && c.uplinks[c.iif] == nil }

// inbound pins a connection from outside to the uplink that it arrived on, as its first packet
// would. If it was not opened to an address of an uplink, its next packet from outside says which
// uplink that is. Pings are not worth the wait.
func (c *connection) inbound() Verdict {
	if c.mark != 0 {
		return keep
	}
	carriers := c.carriers(c.flow.Orig.Dst)
	for _, u := range carriers {
		if pin, sure := c.arrivalPin(u); sure {
			return Verdict{Pin: pin}
		}
	}
	if len(carriers) > 0 || ipproto.IsICMP(c.flow.Orig.Proto) {
		return keep
	}
	return Verdict{Arrivals: c.pinningUplinks()}
}

// arrivalPin returns the mark that the rules pin the connection with if it arrives on an uplink; 0
// if they leave it unmarked. It is not sure if that depends on something unknown.
func (c *connection) arrivalPin(u *uplink) (pin uint32, sure bool) {
	sure = true
	for i, o := range c.table.enter(c.packet(u.iface), c.unknown) {
		sure = sure && (i == 0 || o.CTMark&c.plan.NumberMask() == pin)
		pin = o.CTMark & c.plan.NumberMask()
	}
	return pin, sure
}

// pinningUplinks returns the uplinks that pin connections from outside. They are the same for all
// connections of an IP version.
func (c *connection) pinningUplinks() []Arrival {
	family := plan.FamilyOf(c.flow.Orig.Dst)
	list, known := c.arrivals[family]
	if known {
		return list
	}
	for _, iface := range slices.Sorted(maps.Keys(c.uplinks)) {
		if pin, sure := c.arrivalPin(c.uplinks[iface]); sure && pin != 0 {
			list = append(list, Arrival{iface, family, pin})
		}
	}
	c.arrivals[family] = list
	return list
}

// outbound decides on a connection that a host inside, or the router itself, opened.
func (c *connection) outbound() Verdict {
	carriers := c.carriers(c.flow.Reply.Dst)
	fresh := c.fresh()
	strict, caught := c.strictPin(fresh, carriers)
	switch {
	case caught && strict == 0:
		return Verdict{Delete: true, Exposed: c.untranslated() && !c.flow.Orig.Src.IsPrivate()}
	case c.mark != 0:
		return c.pinnedAlready(carriers, strict)
	case len(carriers) == 0 && c.stray(fresh):
		return remove
	case len(carriers) == 0:
		return keep
	}
	return c.pin(carriers, fresh, strict)
}

// fresh returns what the policies would do with a new connection of these addresses and ports.
func (c *connection) fresh() []walk.Outcome {
	p := c.packet(c.iif)
	if c.local {
		return c.table.leave(p, c.unknown)
	}
	return c.table.enter(p, c.unknown)
}

// strictPin returns the mark that pins the connection to an uplink of the strict table that catches
// it; 0, with caught set, if it uses none of that table's uplinks. Where a policy depends on
// something unknown, strict is true if the answer may be strict.
func (c *connection) strictPin(fresh []walk.Outcome, carriers []*uplink) (pin uint32, caught bool) {
	free := false
	for _, o := range fresh {
		mark := o.Mark & c.plan.NumberMask()
		p, strict := c.strictly(mark, carriers)
		switch {
		case !strict || p != 0:
			// A balance may choose any of its members, so any member is right.
			free = free || o.Chosen
			pin = max(pin, p)
		case !o.Chosen:
			return 0, true
		default:
			caught = true
		}
	}
	return pin, caught && !free || pin != 0
}

// strictly is strictPin for one mark that policies may set; strict is false if that mark lets
// connections use any uplink.
func (c *connection) strictly(mark uint32, carriers []*uplink) (pin uint32, strict bool) {
	w := c.wayBy(mark)
	if mark == 0 {
		// Rules decide: they lead to a strict table, or to none.
		if n, ok := c.numberOf(w.Table); ok && c.strict(n.Mark) {
			mark, strict = n.Mark, true
		} else if u := c.uplinks[w.Dev]; u != nil && c.pinsStrictly(u) {
			strict = true
		} else if w.Refused {
			return 0, true
		}
	} else {
		strict = c.strict(mark)
	}
	if !strict || w.Local || w.Dev != "" && c.uplinks[w.Dev] == nil {
		return 0, false
	}
	for _, u := range carriers {
		if c.leads(mark, w, u) && (c.mark == 0 || c.tables[c.mark].Interface == u.iface) {
			if pin := c.leaveBy(u.iface, mark); pin != 0 {
				return pin, true
			}
			return u.mark, true
		}
	}
	return 0, true
}

// leads reports whether the table of a mark has a route over the uplink. Without a mark it reports
// whether the packet's present route uses the uplink.
func (c *connection) leads(mark uint32, w route.Way, u *uplink) bool {
	if mark == 0 {
		return w.Dev == u.iface
	}
	return slices.ContainsFunc(c.plan.Routes, func(r plan.Route) bool {
		return r.Table == c.tables[mark].Table && slices.ContainsFunc(r.Hops, func(h plan.Hop) bool { return h.Dev == u.iface })
	})
}

func (c *connection) numberOf(table uint32) (plan.Number, bool) {
	for mark, n := range c.tables {
		if n.Table == table && mark != 0 {
			return n, true
		}
	}
	return plan.Number{}, false
}

// pinnedAlready decides about a connection with a table's mark. It stays, unless the mark's uplink
// translates sources and this connection is untranslated, or has the address of another uplink.
func (c *connection) pinnedAlready(carriers []*uplink, strict uint32) Verdict {
	u := c.uplinks[c.tables[c.mark].Interface]
	if u == nil || slices.Contains(carriers, u) {
		if strict != 0 && strict != c.mark && u != nil {
			return Verdict{Pin: strict}
		}
		return keep
	}
	if c.wayBy(c.mark).Dev == u.iface && c.table.translates(c.packet(c.iif), u.iface, c.mark, c.fib) &&
		(len(carriers) > 0 || c.untranslated()) {
		return remove
	}
	return keep
}

func (c *connection) untranslated() bool { return c.flow.Orig.Src == c.flow.Reply.Dst }

// stray reports whether an unmarked connection without an uplink's address would nevertheless use
// an uplink that translates sources, or has no route where a new connection would have one.
func (c *connection) stray(fresh []walk.Outcome) bool {
	w := c.wayBy(0)
	u := c.uplinks[w.Dev]
	switch {
	case u != nil && c.untranslated():
		return c.table.translates(c.packet(c.iif), u.iface, 0, c.fib)
	case u != nil:
		// The address belongs to another interface. An address that is on no interface may be
		// routed to us.
		return c.Judge.local(c.flow.Reply.Dst)
	case w == route.Way{} && c.untranslated():
		return slices.ContainsFunc(fresh, func(o walk.Outcome) bool { return c.uplinks[c.wayBy(o.Mark&c.plan.NumberMask()).Dev] != nil })
	}
	return false
}

// pin pins an unmarked connection to the uplink whose address it has, as the rules do with a new
// connection that leaves through that uplink.
func (c *connection) pin(carriers []*uplink, fresh []walk.Outcome, strict uint32) Verdict {
	now := c.wayBy(0)
	u := carriers[0]
	for _, other := range carriers {
		if other.iface == now.Dev {
			u = other
		}
	}
	mark := c.anyMark(fresh)
	if w := c.wayBy(mark); w.Local || w.Dev != "" && c.uplinks[w.Dev] == nil {
		return keep // it goes to a network inside
	}
	pin := strict
	if pin == 0 {
		pin = c.leaveBy(u.iface, mark)
	}
	if pin == 0 && now.Dev != u.iface {
		pin = u.mark
	}
	return Verdict{Pin: pin}
}

// wayBy returns the route of the connection's packets with a mark.
func (c *connection) wayBy(mark uint32) route.Way {
	// Its destination is already translated when the packet is routed.
	q := route.Query{Src: c.flow.Orig.Src, Dst: c.flow.Reply.Src, IIF: c.iif, Mark: mark}
	if c.ports && c.flow.Orig.HasPorts && (c.flow.Orig.Proto == ipproto.TCP || c.flow.Orig.Proto == ipproto.UDP) {
		q.Proto, q.SPort, q.DPort = c.flow.Orig.Proto, c.flow.Orig.SPort, c.flow.Reply.SPort
	}
	return c.way(q)
}
