package conntrack

import "net/netip"

// Tuple is one direction of a connection.
type Tuple struct {
	Src, Dst netip.Addr
	Proto    uint8
	// SPort and DPort are those of protocols with ports; ICMPType that of ICMP.
	SPort, DPort uint16
	ICMPType     uint8
	HasPorts     bool
}
