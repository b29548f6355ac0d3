package adopt

import (
	"net/netip"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
	"pbr/kernel/route"
)

// Facts are what is known of the machine, with the plan in force.
type Facts struct {
	// Addrs are the addresses of each interface.
	Addrs map[string][]netip.Addr
	// Way tells where the kernel would send a packet.
	Way func(route.Query) route.Way
	// Now is the time.
	Now time.Time
	// MACs are the neighbours' Ethernet addresses.
	MACs map[netip.Addr][6]byte
}

// Verdict is what becomes of a connection.
type Verdict struct {
	// Delete ends it: its next packet starts anew.
	Delete bool
	// Pin, if not 0, is the mark that it is to have.
	Pin uint32
}

var (
	keep   = Verdict{}
	remove = Verdict{Delete: true}
)

// Judge decides for one plan.
type Judge struct {
	plan  *plan.Plan
	facts Facts
	table *table
	// uplinks are those that the plan pins connections to, by interface.
	uplinks map[string]*uplink
	// owners are the interfaces of an address, of uplinks and others.
	owners map[netip.Addr][]string
	// tables are the plan's routing tables by their mark.
	tables map[uint32]plan.Number
	// ways and pins are what was found out before.
	ways map[route.Query]route.Way
	pins map[leaving]uint32
	// ports tells that ways differ by ports, too.
	ports bool
}

// uplink is one way out.
type uplink struct {
	iface string
	// mark pins to it.
	mark  uint32
	addrs map[netip.Addr]bool
}

// New returns a judge for a plan that is in force. It fails on a ruleset that the kernel would
// refuse.
func New(p *plan.Plan, facts Facts) (*Judge, error) {
	t, err := newTable(&p.Ruleset)
	if err != nil {
		return nil, err
	}
	j := &Judge{plan: p, facts: facts, table: t, uplinks: map[string]*uplink{}, owners: map[netip.Addr][]string{},
		tables: map[uint32]plan.Number{}, ways: map[route.Query]route.Way{},
		pins: map[leaving]uint32{}, ports: selectsByPorts(p.Rules)}
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

// selectsByPorts reports whether any ip rule looks at ports, so that ways differ by them.
func selectsByPorts(rules []plan.Rule) bool {
	for _, r := range rules {
		if r.SPort != (plan.PortRange{}) || r.DPort != (plan.PortRange{}) || r.Proto != 0 {
			return true
		}
	}
	return false
}

// carriers are the uplinks that an address is of.
func (j *Judge) carriers(a netip.Addr) (out []*uplink) {
	for _, u := range j.uplinks {
		if u.addrs[a] {
			out = append(out, u)
		}
	}
	return out
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
	if !ordinary(f) {
		return keep
	}
	c := &connection{Judge: j, flow: f, mark: f.Mark & j.plan.Mask}
	if _, known := j.tables[c.mark]; !known {
		c.mark = 0 // as good as none
	}
	c.local = j.local(f.Orig.Src)
	if !c.local {
		c.iif = j.way(route.Query{Dst: f.Orig.Src}).Dev
	}
	switch {
	case c.fromOutside():
		return c.inbound()
	case c.iif == "" && !c.local:
		return keep // nobody knows where it came from
	}
	return c.outbound()
}

// ordinary reports whether a connection is one that a table could decide on: of unicast addresses
// beyond this link.
func ordinary(f *conntrack.Flow) bool {
	for _, a := range []netip.Addr{f.Orig.Src, f.Orig.Dst, f.Reply.Src, f.Reply.Dst} {
		if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == broadcast {
			return false
		}
	}
	return true
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
