package kernel

import (
	"net/netip"

	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/route"
)

// Unmarked selects connections of default's primary uplink by the route of their packets, whatever
// their addresses are: connections that pbr does not translate have none of the uplink's.
type Unmarked struct {
	Family plan.Family
	// Mask has the bits of ct marks that are 0 in an unmarked connection.
	Mask uint32
	// Table is the number of default's table, Interface that of the uplink.
	Table     uint32
	Interface string
	// Strict means that default is unreachable without a usable uplink.
	Strict bool
}

// UnmarkedPin is the mark to give to unmarked connections.
type UnmarkedPin struct {
	Unmarked
	Mark uint32
}

// left reports whether default's packets that take a way have left the uplink.
func (u *Unmarked) left(w route.Way) bool {
	return w.Table == u.Table && w.Dev != "" && w.Dev != u.Interface || u.Strict && w.Refused
}

// stays reports whether default's packets that take a way use the uplink.
func (u *Unmarked) stays(w route.Way) bool { return w.Table == u.Table && w.Dev == u.Interface }

// routedFlows finds connections by the routes of their packets.
type routedFlows struct {
	way   func(route.Query) (route.Way, error)
	local map[netip.Addr]bool
	ways  map[route.Query]route.Way
	err   error
}

// among returns the connections of u whose packets take, in either direction, a way that is wanted.
func (r *routedFlows) among(flows []conntrack.Flow, u *Unmarked, wanted func(route.Way) bool) (found []*conntrack.Flow) {
	for i := range flows {
		f := &flows[i]
		if f.Mark&u.Mask == 0 && f.Ordinary() && plan.FamilyOf(f.Orig.Src) == u.Family &&
			(wanted(r.wayOf(f, false)) || wanted(r.wayOf(f, true))) {
			found = append(found, f)
		}
	}
	return found
}

// wayOf returns the way of packets of the direction that opened the connection, or of answers. The
// addresses are those at the time of routing: its destination is translated by then, its source is
// not.
func (r *routedFlows) wayOf(f *conntrack.Flow, answers bool) route.Way {
	q := route.Query{Src: f.Orig.Src, Dst: f.Reply.Src}
	if f.Orig.HasPorts && (f.Orig.Proto == ipproto.TCP || f.Orig.Proto == ipproto.UDP) {
		q.Proto, q.SPort, q.DPort = f.Orig.Proto, f.Orig.SPort, f.Reply.SPort
	}
	if answers {
		q.Src, q.Dst, q.SPort, q.DPort = q.Dst, q.Src, q.DPort, q.SPort
	}
	if !r.local[q.Src] {
		if q.IIF = r.ask(route.Query{Dst: q.Src}).Dev; q.IIF == "" {
			return route.Way{} // -- nobody knows where it would come from
		}
	}
	return r.ask(q)
}

func (r *routedFlows) ask(q route.Query) route.Way {
	w, known := r.ways[q]
	if !known {
		var err error
		if w, err = r.way(q); err != nil {
			r.err = err
		}
		r.ways[q] = w
	}
	return w
}
