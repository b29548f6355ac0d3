package plan

import "net/netip"

// MainTable is the kernel's main routing table (RT_TABLE_MAIN, linux/rtnetlink.h).
const MainTable = 254

// CountsAsDefault reports whether a route to dst is a default route, or one of the halves that VPN
// programs split it into so that theirs is preferred: 0.0.0.0/1 and 128.0.0.0/1, in IPv6 up to
// 2000::/4 and 3000::/4.
func CountsAsDefault(dst netip.Prefix) bool {
	family := IPv4
	if dst.Addr().Is6() {
		family = IPv6
	}
	return dst.Bits() <= DefaultLength(family)
}

// DefaultLength returns the length of the longest prefix that counts as a default route.
func DefaultLength(family Family) int {
	if family == IPv4 {
		return 1
	}
	return 4
}

// RouteKind is a route's type (rtm_type, linux/rtnetlink.h).
type RouteKind uint8

// The route types that plans use or that live tables may hold; the values are RTN_*.
const (
	Unicast     RouteKind = 1
	Blackhole   RouteKind = 6
	Unreachable RouteKind = 7
	Prohibit    RouteKind = 8
	Throw       RouteKind = 9
)

// Route is one route of an owned table. Hops with more than one entry is a multipath route.
type Route struct {
	Table  uint32
	Family Family
	// Dst is the destination; the default route is 0.0.0.0/0 or ::/0.
	Dst    netip.Prefix
	Metric uint32
	Kind   RouteKind
	Hops   []Hop
	// Protocol is rtm_protocol; Protocol 112 in wanted plans, anything in live ones.
	Protocol uint8
	// Foreign has, in live plans, attributes of the route that pbr never sets ("src 192.0.2.9",
	// "mtu 1400"), so that a foreign edit shows and is repaired.
	Foreign string
}

// Hop is one next hop. Hops of a route are sorted by Dev, then Via.
type Hop struct {
	Dev string
	// Via is the gateway; invalid for a device route.
	Via netip.Addr
	// Auto means that Via is to be the gateway that main has for Dev. Only in plans compiled
	// without a machine; such a plan can be printed, not applied.
	Auto bool
	// Masquerade means that the hop is omitted where Dev has addresses of the other IP version
	// alone. Only in plans compiled without a machine.
	Masquerade bool
	// Weight is 1..256; 1 on a route with one hop.
	Weight int
	// Onlink tells the kernel that Via needs no route of its own.
	Onlink bool
}

// RouteKey is what the kernel tells routes apart by, in both families.
type RouteKey struct {
	Family Family
	Table  uint32
	Dst    netip.Prefix
	Metric uint32
}

// Key returns r's identity: a RouteReplace of the same key takes r's place.
func (r Route) Key() RouteKey { return RouteKey{r.Family, r.Table, r.Dst, r.Metric} }
