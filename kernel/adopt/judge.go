package adopt

import (
	"net/netip"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/route"
)

// Facts are the host's facts while the plan is in force.
type Facts struct {
	// Addrs are the addresses of each interface.
	Addrs map[string][]netip.Addr
	// Way returns where the kernel would send a packet.
	Way func(route.Query) route.Way
	// Now is the time.
	Now time.Time
	// MACs are the neighbours' Ethernet addresses.
	MACs map[netip.Addr][6]byte
}

// Verdict is the decision about a connection.
type Verdict struct {
	// Delete means that the connection is deleted: its next packet starts a new one.
	Delete bool
	// Exposed means that a strict policy is why, and that nothing translated the connection: a
	// packet of its far end still finds the way to the host that opened it.
	Exposed bool
	// Pin is the mark to set; 0 to leave the mark as it is.
	Pin uint32
	// Arrivals is not empty if nothing says which uplink a connection from outside came in by: its
	// next packet does. It has the mark for each uplink that pins such connections.
	Arrivals []Arrival
}

// Arrival is an uplink by which packets of an IP version come, and the mark that it pins their
// connections with.
type Arrival struct {
	Interface string
	Family    plan.Family
	Mark      uint32
}

var (
	keep   = Verdict{}
	remove = Verdict{Delete: true}
)

// Judge decides about connections for one plan.
type Judge struct {
	plan  *plan.Plan
	facts Facts
	table *table
	// uplinks are those that the plan pins connections to, by interface.
	uplinks map[string]*uplink
	// owners has the interfaces of each address, those of uplinks and others.
	owners map[netip.Addr][]string
	// tables are the plan's routing tables by their mark.
	tables map[uint32]plan.Number
	// ways and pins cache earlier answers.
	ways map[route.Query]route.Way
	pins map[leaving]uint32
	// arrivals are the uplinks that pin connections from outside, once they are known.
	arrivals map[plan.Family][]Arrival
	// ports is true if routes can depend on ports.
	ports bool
}

// uplink is one uplink of the plan.
type uplink struct {
	iface string
	// mark pins connections to it.
	mark  uint32
	addrs map[netip.Addr]bool
}

// New returns a judge for a plan that is in force. The error means that the kernel would refuse the
// ruleset.
func New(p *plan.Plan, facts Facts) (*Judge, error) {
	t, err := newTable(&p.Ruleset)
	if err != nil {
		return nil, err
	}
	j := &Judge{plan: p, facts: facts, table: t, uplinks: map[string]*uplink{}, owners: map[netip.Addr][]string{},
		tables: map[uint32]plan.Number{}, ways: map[route.Query]route.Way{},
		pins: map[leaving]uint32{}, arrivals: map[plan.Family][]Arrival{}, ports: selectsByPorts(p.Rules)}
	for iface, addrs := range facts.Addrs {
		for _, a := range addrs {
			j.owners[a] = append(j.owners[a], iface)
		}
	}
	for _, n := range p.Numbers {
		j.tables[n.Mark] = n
		if n.Interface != "" && n.Mark != 0 && !n.Strict {
			j.addUplink(n)
		}
	}
	return j, nil
}

func (j *Judge) addUplink(n plan.Number) {
	u := &uplink{iface: n.Interface, mark: n.Mark, addrs: map[netip.Addr]bool{}}
	for _, a := range j.facts.Addrs[n.Interface] {
		u.addrs[a] = true
	}
	for _, f := range plan.Families {
		if a := j.table.staticSource(n.Interface, f); a.IsValid() {
			u.addrs[a] = true
		}
	}
	j.uplinks[n.Interface] = u
}

// selectsByPorts reports whether any ip rule matches ports, so that routes depend on them.
func selectsByPorts(rules []plan.Rule) bool {
	for _, r := range rules {
		if r.SPort != (plan.PortRange{}) || r.DPort != (plan.PortRange{}) || r.Proto != 0 {
			return true
		}
	}
	return false
}

// carriers returns the uplinks that have an address.
func (j *Judge) carriers(a netip.Addr) (out []*uplink) {
	for _, u := range j.uplinks {
		if u.addrs[a] {
			out = append(out, u)
		}
	}
	return out
}

// Carries reports whether an uplink has an address of one of the connection's ends.
func (j *Judge) Carries(f *conntrack.Flow) bool {
	return len(j.carriers(f.Reply.Dst))+len(j.carriers(f.Orig.Dst)) > 0
}

func (j *Judge) local(a netip.Addr) bool { return a.IsLoopback() || len(j.owners[a]) > 0 }

func (j *Judge) way(q route.Query) route.Way {
	w, known := j.ways[q]
	if !known {
		w = j.facts.Way(q)
		j.ways[q] = w
	}
	return w
}

// Decide decides about one connection.
func (j *Judge) Decide(f *conntrack.Flow) Verdict {
	if !f.Ordinary() {
		return keep
	}
	switch c := j.connection(f); {
	case c.fromOutside():
		return c.inbound()
	case c.fromInside():
		return c.outbound()
	}
	return keep // nobody knows where it came from
}

// FromInside reports whether a host inside, or the router itself, opened a connection.
func (j *Judge) FromInside(f *conntrack.Flow) bool {
	return f.Ordinary() && j.connection(f).fromInside()
}

func (j *Judge) connection(f *conntrack.Flow) *connection {
	c := &connection{Judge: j, flow: f, mark: f.Mark & j.plan.NumberMask()}
	if _, known := j.tables[c.mark]; !known {
		c.mark = 0 // as good as none
	}
	c.local = j.local(f.Orig.Src)
	if !c.local {
		c.iif = j.way(route.Query{Dst: f.Orig.Src}).Dev
	}
	return c
}
