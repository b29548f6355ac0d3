package walk

// Reasons of packets that the kernel drops for their addresses alone; no chain has such a name.
const (
	// SourceCheckFailed is Way.In of a packet that the kernel's check of sources drops.
	SourceCheckFailed = "source check"
	// DestinationCheckFailed is Way.In of a packet from an interface to an address that none of
	// them can have.
	DestinationCheckFailed = "destination check"
)

// martian returns the check that a packet from an interface fails whatever the routes are; empty if
// it fails none. IPv4: ip_route_input_slow and ip_mc_validate_source (net/ipv4/route.c), where the
// interface's route_localnet lets loopback addresses of IPv4 in. IPv6: ip6_rcv_core
// (net/ipv6/ip6_input.c).
func (f *fib) martian(t *trip) string {
	src, dst := t.Src, t.Dst
	everybody := dst.IsMulticast() || dst == limitedBroadcast
	localnet := dst.Is4() && f.facts.Links[t.IIF].Source.RouteLocalnet
	switch {
	case src.IsMulticast() || src.IsLoopback() && !localnet || src == limitedBroadcast:
		return SourceCheckFailed
	case dst.IsLoopback() && !localnet:
		return DestinationCheckFailed
	case src.Is6() || src.IsUnspecified() && dst.IsUnspecified():
		return ""
	case src.IsUnspecified() && !everybody:
		return SourceCheckFailed
	case dst.IsUnspecified():
		return DestinationCheckFailed
	}
	return ""
}

// staysHere returns what happens to an IPv6 packet that is to be forwarded and whose source is
// valid on its link alone (ip6_forward, net/ipv6/ip6_output.c); ok is false if it is forwarded.
func staysHere(t *trip) (fate Fate, ok bool) {
	switch {
	case !t.Src.Is6():
		return Forwarded, false
	case t.Src.IsUnspecified():
		return Discarded, true
	case t.Src.IsLinkLocalUnicast():
		return Unreachable, true
	}
	return Forwarded, false
}
