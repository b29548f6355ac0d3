// Package ipproto has the numbers that the internet and the kernel give protocols and IP versions.
package ipproto

// Protocols above IP (IANA, Assigned Internet Protocol Numbers).
const (
	ICMP    = 1
	IGMP    = 2
	TCP     = 6
	UDP     = 17
	DCCP    = 33
	ICMPv6  = 58
	SCTP    = 132
	UDPLite = 136
)

// IsICMP reports whether a protocol is ICMP of either IP version: it has no ports, and its answers
// never start a connection (RFC 792, RFC 4443).
func IsICMP(proto uint8) bool { return proto == ICMP || proto == ICMPv6 }

// IP versions as netfilter numbers them (NFPROTO_*, linux/netfilter.h).
const (
	NFIPv4 = 2
	NFIPv6 = 10
)
