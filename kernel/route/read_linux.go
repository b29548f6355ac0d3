package route

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// firstReserved is RT_TABLE_DEFAULT: it, main and local (253..255, linux/rtnetlink.h) are never
// pbr's.
const firstReserved = 253

var (
	linkLocal = netip.MustParsePrefix("fe80::/10")
	multicast = netip.MustParsePrefix("ff00::/8")
)

// Read returns everything that is pbr's, sorted and normalized: rules with plan.Protocol, and all
// rules in [base, base+plan.PrioritySpan) for each of bases; routes with plan.Protocol in any
// table, and all routes in the given tables except those that the kernel puts into a VRF's table.
func (c *Conn) Read(bases, tables []uint32) ([]plan.Rule, []plan.Route, error) {
	var p plan.Plan
	for _, family := range plan.Families {
		rules, err := c.rules(family)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range rules {
			if r.Protocol == plan.Protocol || slices.ContainsFunc(bases, func(b uint32) bool { return plan.InSpan(b, r.Priority) }) {
				p.Rules = append(p.Rules, r.Rule)
			}
		}
		if p.Routes, err = c.ownRoutes(p.Routes, family, tables); err != nil {
			return nil, nil, err
		}
	}
	plan.Normalize(&p)
	return p.Rules, p.Routes, nil
}

// ownRoutes appends the routes of a family: one filtered dump for ours, and one of each table for
// those of others.
func (c *Conn) ownRoutes(routes []plan.Route, family plan.Family, tables []uint32) ([]plan.Route, error) {
	ours, err := c.routes(family, 0, plan.Protocol)
	if err != nil {
		return nil, err
	}
	for _, r := range ours {
		routes = append(routes, r.Route)
	}
	for _, table := range slices.Compact(slices.Sorted(slices.Values(tables))) {
		if reserved(table) {
			continue
		}
		all, err := c.routes(family, table, 0)
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			if r.Protocol == plan.Protocol {
				continue
			}
			if KernelMade(r.Route) {
				vrf, err := c.isVRF(table)
				if err != nil {
					return nil, err
				}
				if vrf {
					continue
				}
			}
			routes = append(routes, r.Route)
		}
	}
	return routes, nil
}

// reserved reports whether a table is the kernel's: unspecified, default, main or local.
func reserved(table uint32) bool {
	return table == 0 || table >= firstReserved && table <= unix.RT_TABLE_LOCAL
}

// isVRF reports whether a table belongs to a VRF device, so that the kernel puts routes of its own
// into it.
func (c *Conn) isVRF(table uint32) (bool, error) {
	links, err := c.links()
	if err != nil {
		return false, err
	}
	return hasVRF(links, table), nil
}

func hasVRF(links []liveLink, table uint32) bool {
	return slices.ContainsFunc(links, func(l liveLink) bool { return l.kind == "vrf" && l.table == table })
}

// KernelMade reports whether a route looks like those that the kernel puts into a VRF's table: its
// own addresses, link-local and multicast networks. Anybody can create such routes, so in other
// tables they count as others'.
func KernelMade(r plan.Route) bool {
	if r.Protocol != unix.RTPROT_KERNEL {
		return false
	}
	switch uint8(r.Kind) {
	case unix.RTN_LOCAL, unix.RTN_BROADCAST, unix.RTN_ANYCAST, unix.RTN_MULTICAST:
		return true
	}
	return r.Dst.Bits() > 0 && (linkLocal.Contains(r.Dst.Addr()) || multicast.Contains(r.Dst.Addr()))
}
