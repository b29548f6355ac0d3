package conntrack

import "time"

// Traffic is what a connection has carried so far, and how.
type Traffic struct {
	// Bytes and Packets count both directions; Counted is false where the kernel does not count
	// them (sysctl net.netfilter.nf_conntrack_acct).
	Bytes, Packets uint64
	Counted        bool
	// Offloaded is true if a flowtable has the connection, in software or in the device.
	Offloaded bool
	// Started is when the connection began; zero where the kernel does not record it (sysctl
	// net.netfilter.nf_conntrack_timestamp).
	Started time.Time
}
