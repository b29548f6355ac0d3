package explain

import (
	"net/netip"
	"slices"
	"time"

	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// Connection is a running connection, as connection tracking knows it.
type Connection struct {
	// Src and Dst are the addresses that it was opened with, ReplySrc and ReplyDst those of its
	// answers as they arrive here: where the source is translated, ReplyDst is what the far end
	// sees.
	Src, Dst, ReplySrc, ReplyDst netip.Addr
	Proto                        uint8
	SPort, DPort                 uint16
	ICMPType                     uint8
	EchoID                       uint16
	HasPorts                     bool
	Mark                         uint32
	// Reply means that AnswerTo's packet goes the other way than the one that opened the
	// connection.
	Reply bool
	// MAC is the opener's Ethernet address; nil for that of Live.MACs.
	MAC *[6]byte
}

// Carried says what carries a connection, and what catches a new one of the same addresses and
// ports now.
type Carried struct {
	// In is the interface that it was opened by, "local" for the router's own; empty if that is not
	// known.
	In string
	// Uplink carries it; empty if none does. Interface is the one that it leaves or came by, where
	// that is known.
	Uplink, Interface string
	// By and Table are those of a new connection.
	By    By
	Table string
	// Differs reports that a new connection would not get this uplink: the policy changed since, or
	// health did.
	Differs bool
	// Refused means that a new connection would have no route.
	Refused bool
}

// At returns an Explainer for another time.
func (x *Explainer) At(now time.Time) *Explainer {
	y := *x
	y.live.Now = now
	return &y
}

// Carried finds out what carries a connection. What connection tracking does not keep of its first
// packet counts as absent: the user, DSCP, and a mark of others. The MAC address is the
// neighbour's.
func (x *Explainer) Carried(c *Connection) Carried {
	var w Carried
	if mac, known := x.live.MACs[c.Src]; known && c.MAC == nil {
		with := *c
		with.MAC, c = &mac, &with
	}
	pinned := ""
	if u := x.pinnedTo(c.Mark); u != nil {
		w.Uplink, pinned = u.Name, u.Name
	}
	w.In = x.opener(c, pinned)
	if w.In == "" {
		return w
	}
	if w.In == local && (x.Probes(c.Proto, c.EchoID, pinned) || x.probesFrom(c, pinned)) {
		w.Interface, w.By, w.Table = x.uplinks[pinned].Interface, By{Kind: ByProbe, Name: pinned}, pinned
		return w
	}
	fresh := x.answer(&Question{in: w.In, packet: x.packetOf(c, c.Dst, w.In)})
	w.By, w.Table = fresh.By, fresh.Table
	if arrived := x.byInterface[w.In]; arrived != nil {
		w.Uplink, w.Interface = arrived.Name, w.In
		return w
	}
	if w.Uplink == "" {
		w.Uplink = x.unmarkedUplink(c, w.In)
	}
	if u := x.uplinks[w.Uplink]; u != nil {
		w.Interface = u.Interface
	}
	w.Differs = !fresh.mayUse(w.Uplink)
	w.Refused = fresh.Verdict != walk.Forwarded.String() && fresh.Verdict != walk.Delivered.String()
	return w
}

// Probes reports whether an echo request that the router itself sent through an uplink, or the
// answer to one, is of the watch's check of that uplink.
func (x *Explainer) Probes(proto uint8, echoID uint16, uplink string) bool {
	id, pinged := x.live.EchoIDs[uplink]
	return pinged && id == echoID && (proto == ipproto.ICMP || proto == ipproto.ICMPv6)
}

// probesFrom reports whether a connection of the router itself that is pinned to an uplink is one
// by which the watch checks that uplink.
func (x *Explainer) probesFrom(c *Connection, uplink string) bool {
	return x.live.ProbePort != nil && uplink != "" && c.HasPorts && x.live.ProbePort(uplink, c.Proto, c.SPort)
}

// mayUse reports whether an uplink, or none for the empty name, is one that the answer leads to.
func (a *Answer) mayUse(uplink string) bool {
	return a.Uplink == uplink || slices.Contains(a.Members, uplink)
}

// opener returns the interface that a connection was opened through. The route to its source shows
// it, unless that leads out of an uplink: then the mark does, or the uplink's address that the
// connection was opened to.
func (x *Explainer) opener(c *Connection, pinned string) string {
	dev, own := x.router.To(c.Src)
	switch {
	case own:
		return local
	case dev != "" && x.byInterface[dev] == nil:
		return dev
	case x.uplinks[pinned] != nil:
		return x.uplinks[pinned].Interface
	case x.holder(c.Dst) != "":
		return x.uplinks[x.holder(c.Dst)].Interface
	}
	return dev
}

// unmarkedUplink is the uplink of a connection that no mark pins: the one whose address the far end
// sees, or else the one that a later packet leaves through.
func (x *Explainer) unmarkedUplink(c *Connection, in string) string {
	p := x.packetOf(c, c.ReplySrc, in)
	p.CTState, p.CTStatus, p.CTMark = walk.StateEstablished, walk.StatusConfirmed, c.Mark
	a := x.merge(&Question{in: in, packet: p, established: true}, &p, x.router.Send(&p))
	if name := x.holder(c.ReplyDst); a.Verdict != walk.Delivered.String() && name != "" && (len(a.Members) > 0 || a.Uplink != "") {
		return name
	}
	return a.Uplink
}

// holder is the uplink that has an address: on its interface, or as what its source NAT translates
// to; empty if none has.
func (x *Explainer) holder(a netip.Addr) string {
	for i := range x.doc.Uplinks {
		u := &x.doc.Uplinks[i]
		if u.NAT.Addr == a || u.NAT6.Addr == a {
			return u.Name
		}
		if slices.ContainsFunc(x.live.Facts.Links[u.Interface].Addrs, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return u.Name
		}
	}
	return ""
}

// packetOf is a packet of the direction in which the connection was opened, as it would come now.
func (x *Explainer) packetOf(c *Connection, dst netip.Addr, in string) walk.Packet {
	p := walk.Packet{Time: x.live.Now, Src: c.Src, Dst: dst, Proto: c.Proto, SPort: c.SPort, DPort: c.DPort,
		ICMPType: c.ICMPType, CTState: walk.StateNew}
	p.NoPorts = !c.HasPorts && c.Proto != ipproto.ICMP && c.Proto != ipproto.ICMPv6
	if in == local {
		p.HasUID = true
	} else {
		p.IIF = in
		if c.MAC != nil {
			p.MAC, p.Ethernet = *c.MAC, true
		}
	}
	return p
}

// Family is the IP version.
func (c *Connection) Family() plan.Family {
	return plan.FamilyOf(c.Src)
}

// AnswerTo explains a packet that really passes: the first one of its connection, or a later one of
// a connection with a mark.
func (x *Explainer) AnswerTo(c *Connection, in string, established bool) *Answer {
	q := &Question{in: in, packet: x.packetOf(c, c.Dst, in), established: established}
	q.packet.Reply = c.Reply
	p := q.packet
	if established {
		p.CTState, p.CTStatus, p.CTMark = walk.StateEstablished, walk.StatusConfirmed, c.Mark
	}
	return x.merge(q, &p, x.router.Send(&p))
}

// PolicyOf is the policy whose counter a rule has; empty if it is none's.
func (x *Explainer) PolicyOf(counter string) string {
	if c := x.policies[counter]; c != nil {
		return c.policy.Name
	}
	return ""
}

// UplinkOf is the uplink of an interface, empty if there is none.
func (x *Explainer) UplinkOf(dev string) string { return x.uplinkOf(dev) }

// MarkName returns the name of the table that a mark stands for, empty if there is none.
func (x *Explainer) MarkName(mark uint32) string { return x.markName(mark) }
