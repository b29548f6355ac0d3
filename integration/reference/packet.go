package reference

import (
	"net/netip"
)

// Host is the router that a policy is for.
type Host struct {
	// Addrs are its addresses with their networks' lengths, by interface.
	Addrs map[string][]netip.Prefix
	// Main are the routes of the main table, apart from the connected networks.
	Main []MainRoute
	// Down are the uplinks that failed their checks, in one IP version or both: the order in which
	// they did, 1 first.
	Down map[UplinkVersion]int
}

// UplinkVersion is an uplink in one IP version.
type UplinkVersion struct {
	Uplink string
	V6     bool
}

// MainRoute is one route of the main table.
type MainRoute struct {
	Dst netip.Prefix
	Dev string
}

// Packet is the first packet of a connection.
type Packet struct {
	// IIF is the interface that it arrived on, empty for the router's own.
	IIF      string
	UID, GID uint32
	// Cgroup is the path of the local sender's control group, empty for the root.
	Cgroup       string
	Src, Dst     netip.Addr // Src is invalid when the router's own sender leaves it to the kernel
	Proto        uint8
	SPort, DPort uint16
	ICMPType     uint8
	DSCP         uint8
	MAC          [6]byte
	// Mark has the bits of fwmark that others have set.
	Mark uint32
}

// Local reports whether the router itself sends the packet.
func (k Packet) Local() bool { return k.IIF == "" }

// Way is how a packet may leave.
type Way struct {
	// Dev is the interface, empty for a packet that does not leave: it is for the
	// router, or has no route, or is refused.
	Dev string
	// Src is its source address on the wire.
	Src netip.Addr
}
