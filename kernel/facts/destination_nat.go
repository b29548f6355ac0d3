package facts

import (
	"net/netip"
	"slices"

	"pbr/compiler/plan"
)

// DestinationNAT is a rule of another nftables table that translates destinations, on one of the
// ways that packets get to it.
type DestinationNAT struct {
	// Table is as MarkUse's.
	Table, Chain string
	Handle       uint64
	Hook         Hook
	// To is the new address and Port the new port, where the rule has a constant; Redirect means
	// the router itself.
	To       netip.Addr
	Port     uint16
	Redirect bool
	// When are the conditions that a packet has to meet, on its way to the rule and in it.
	When []Condition
}

// Condition is a condition of a rule. One without any of its fields is not understood.
type Condition struct {
	// Not turns it around.
	Not bool
	// In are interfaces that the packet arrives on, with a * at the end of the beginning of names.
	In []string
	// Src and Dst are prefixes of its addresses, Protocols its protocols, Ports its destination
	// ports.
	Src, Dst  netip.Prefix
	Protocols []uint8
	Ports     []uint16
	// Own means that the destination is an address of the router.
	Own bool
	// Family is the packet's IP version.
	Family plan.Family
}

// FirstPacket is a new connection's first packet, as far as it is known.
type FirstPacket struct {
	// In is empty if it is not known.
	In       string
	Src, Dst netip.Addr
	Protocol uint8
	// Port is the destination port, where HasPort is set.
	Port    uint16
	HasPort bool
	// Own reports whether the destination is an address of the router.
	Own bool
}

// Meets reports whether a packet may meet all conditions of the rule, and whether it is certain to.
func (d *DestinationNAT) Meets(p *FirstPacket) (may, certain bool) {
	certain = true
	if of := plan.TableFamily(d.Table); of != 0 && of != plan.FamilyOf(p.Dst) {
		return false, false
	}
	for i := range d.When {
		c := &d.When[i]
		switch holds, known := c.holds(p); {
		case !known:
			certain = false
		case holds == c.Not:
			return false, false
		}
	}
	return true, certain
}

// holds reports whether a packet meets the condition as if it were not turned around, and whether
// that is known.
func (c *Condition) holds(p *FirstPacket) (holds, known bool) {
	switch {
	case c.In != nil:
		return slices.ContainsFunc(c.In, func(name string) bool { return plan.NamesInterface(name, p.In) }), p.In != ""
	case c.Src.IsValid():
		return c.Src.Contains(p.Src), p.Src.IsValid()
	case c.Dst.IsValid():
		return c.Dst.Contains(p.Dst), p.Dst.IsValid()
	case c.Protocols != nil:
		return slices.Contains(c.Protocols, p.Protocol), true
	case c.Ports != nil:
		return slices.Contains(c.Ports, p.Port), p.HasPort
	case c.Own:
		return p.Own, true
	case c.Family != 0:
		return c.Family == plan.FamilyOf(p.Dst), true
	}
	return false, false
}
