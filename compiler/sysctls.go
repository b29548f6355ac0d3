package compiler

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// addSysctls adds the settings of sysctl = true (ip-sysctl.rst).
func (c *compilation) addSysctls() {
	if !c.doc.Settings.Sysctl {
		return
	}
	set := func(value, path string, args ...any) {
		c.out.Sysctls = append(c.out.Sysctls, plan.Sysctl{Path: fmt.Sprintf(path, args...), Value: value})
	}
	forwards := policy.Forwards(c.doc)
	if forwards {
		set("1", "net/ipv4/ip_forward")
	}
	set("1", "net/ipv4/conf/all/ignore_routes_with_linkdown")
	// Hash over ports too, so that ECMP spreads the connections of one pair of hosts.
	set("1", "net/ipv4/fib_multipath_hash_policy")
	if c.routesIPv6() {
		if forwards {
			set("1", "net/ipv6/conf/all/forwarding")
		}
		set("1", "net/ipv6/fib_multipath_hash_policy")
	}
	if c.reversed() {
		c.addReverseSysctls(set)
	} else {
		// With 1 the kernel takes packets with one of the router's own addresses as source. It
		// takes the greater of all and the interface.
		set("0", "net/ipv4/conf/all/accept_local")
	}
	for i := range c.doc.Uplinks {
		u := &c.doc.Uplinks[i]
		if _, exists := c.host.Links[u.Interface]; c.host.Known && !exists {
			continue // deferred already, for its routes
		}
		if !c.reversed() {
			set("0", "net/ipv4/conf/%s/accept_local", u.Interface)
			// Loose: a reply to a marked packet may arrive on an uplink that main would not use.
			set("2", "net/ipv4/conf/%s/rp_filter", u.Interface)
		}
		set("1", "net/ipv4/conf/%s/src_valid_mark", u.Interface)
		set("1", "net/ipv4/conf/%s/ignore_routes_with_linkdown", u.Interface)
		if c.carriesIPv6(u) && u.Gateway6.Auto {
			// A router takes announced default routes only so.
			set("2", "net/ipv6/conf/%s/accept_ra", u.Interface)
		}
		if c.carriesIPv6(u) {
			set("1", "net/ipv6/conf/%s/ignore_routes_with_linkdown", u.Interface)
		}
	}
}

// routesIPv6 reports whether an uplink carries IPv6: switching forwarding on makes the kernel
// forget default routes learned from router advertisements (accept_ra = 1), so it is not done
// without need.
func (c *compilation) routesIPv6() bool {
	return slices.ContainsFunc(c.doc.Uplinks, func(u policy.Uplink) bool { return c.carriesIPv6(&u) })
}

func (c *compilation) carriesIPv6(u *policy.Uplink) bool {
	return Carries(u, plan.IPv6) && !c.host.NoIPv6 && !c.host.Links[u.Interface].NoIPv6
}
