package conntrack

import "time"

// Traffic is what a connection has carried so far, and how.
type Traffic struct {
	// Bytes and Packets are those of both directions; Counted is false where the kernel does not
	// count them (sysctl net.netfilter.nf_conntrack_acct).
	Bytes, Packets uint64
	Counted        bool
	// Offloaded reports whether a flowtable has it, in software or in the device.
	Offloaded bool
	// Started is when it began; zero where the kernel does not note it (sysctl
	// net.netfilter.nf_conntrack_timestamp).
	Started time.Time
}
