package route

import "net/netip"

// Query asks for the way of one packet.
type Query struct {
	Src, Dst netip.Addr
	// IIF is the interface that the packet came by; empty if the router itself sends it.
	IIF string
	// Mark is the packet's.
	Mark uint32
	// Proto and ports are for ip rules that select by them; Proto 0 is none.
	Proto        uint8
	SPort, DPort uint16
}

// Way is the kernel's answer to a Query.
type Way struct {
	// Dev is the interface by which the packet leaves; empty if it does not.
	Dev string
	// Table is the routing table that decided.
	Table uint32
	// Local tells that the packet is for the router itself, or for everybody (broadcast).
	Local bool
	// Refused tells that a route or rule of type unreachable, prohibit or blackhole has the packet.
	Refused bool
}
