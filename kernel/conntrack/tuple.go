package conntrack

import "net/netip"

// Tuple is one direction of a connection.
type Tuple struct {
	Src, Dst netip.Addr
	Proto    uint8
	// SPort and DPort belong to protocols with ports, ICMPType to ICMP.
	SPort, DPort uint16
	ICMPType     uint8
	HasPorts     bool
}

// Reversed returns the tuple of an answer that nothing translates. It is no tuple of ICMP, whose
// answers have another type.
func (t *Tuple) Reversed() Tuple {
	r := *t
	r.Src, r.Dst, r.SPort, r.DPort = t.Dst, t.Src, t.DPort, t.SPort
	return r
}
