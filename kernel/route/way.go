package route

import "net/netip"

// Query asks for the route of one packet.
type Query struct {
	Src, Dst netip.Addr
	// IIF is the interface that the packet arrived on; empty if the router itself sends it.
	IIF string
	// Mark is the packet's.
	Mark uint32
	// Proto and ports are for ip rules that match them; Proto 0 means none.
	Proto        uint8
	SPort, DPort uint16
}

// Way is the kernel's answer to a Query.
type Way struct {
	// Dev is the interface that the packet leaves through; empty if it does not leave.
	Dev string
	// Table is the routing table that decided.
	Table uint32
	// Local means that the packet is for the router itself, or broadcast.
	Local bool
	// Refused means that the packet matches a route or rule of type unreachable, prohibit or
	// blackhole.
	Refused bool
}
