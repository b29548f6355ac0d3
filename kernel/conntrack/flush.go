package conntrack

import (
	"net/netip"

	"pbr/compiler/plan"
)

// Flush selects connections of an uplink to delete.
type Flush struct {
	// Family restricts the selection by mark to one family; 0 means both. Addrs have their own
	// families.
	Family plan.Family
	// Mark is the value, under Mask, of the ct mark that pins connections to the uplink. 0 selects
	// no connection by mark, because unmarked connections have 0.
	Mark, Mask uint32
	// Addrs are the addresses of the uplink's unmarked connections (those of default's primary
	// uplink): the addresses that its source NAT uses, and its interface's own. An unmarked
	// connection (mark & Mask == 0) is deleted if its answers go to one of them, or if it was
	// opened to or from one of them.
	Addrs []netip.Addr
	// AddrMark is the ct mark, under Mask, of the connections selected by Addrs; 0 selects unmarked
	// ones.
	AddrMark uint32
}

// Pin selects unmarked connections of an uplink that is no longer default's primary one, but still
// carries them.
type Pin struct {
	// Mark is the value, under Mask, of the ct mark that pins connections to the uplink; not 0.
	Mark, Mask uint32
	// Addrs select connections as in Flush.
	Addrs []netip.Addr
}

// Usage sums up the connections of one mark.
type Usage struct {
	Connections int
	// Bytes counts both directions since accounting (sysctl net.netfilter.nf_conntrack_acct) was
	// switched on; HasBytes is false where it is off.
	Bytes    uint64
	HasBytes bool
}
