package conntrack

import (
	"net/netip"

	"pbr/compiler/plan"
)

// Flush names the connections of an uplink that went down.
type Flush struct {
	// Family restricts the cut by mark to one; 0 is both. Addrs have theirs.
	Family plan.Family
	// Mark is the value, under Mask, of the ct mark that pins connections to the uplink. With a
	// Mark of 0 none is cut by its mark: 0 is what unmarked connections have.
	Mark, Mask uint32
	// Addrs are addresses that the uplink's unmarked connections have, as default's primary uplink
	// does: what its source NAT translates to, and its interface's own. An unmarked connection
	// (mark & Mask == 0) is cut when the other end answers to one of them, or when it was opened to
	// or from one of them.
	Addrs []netip.Addr
	// AddrMark is the value under Mask that the ct marks of the connections of Addrs have; 0 stands
	// for unmarked ones.
	AddrMark uint32
}

// Pin names the unmarked connections of an uplink that is no longer default's primary one, and
// still carries them.
type Pin struct {
	// Mark is the value, under Mask, of the ct mark that pins connections to the uplink; not 0.
	Mark, Mask uint32
	// Addrs tell which connections, as those of Cut do.
	Addrs []netip.Addr
}

// Usage is what the connections of one mark come to.
type Usage struct {
	Connections int
	// Bytes of both directions, counted from when accounting (sysctl
	// net.netfilter.nf_conntrack_acct) was switched on; HasBytes is false where it is off.
	Bytes    uint64
	HasBytes bool
}
