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
