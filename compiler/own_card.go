package compiler

import (
	"net/netip"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Two cards in one network: main has a connected route over each, and takes one of them for all. A
// host in that network, which asked one card's address, would get its answer from the other card.
// So where nothing is forwarded packets from an uplink's address to a network that another
// interface is in, too, are looked up in the uplink's pinned table, which has a route there over
// that card.

// sharedNetworks returns those networks of the uplink's interface that another interface is in,
// too.
func (c *compilation) sharedNetworks(u *policy.Uplink, family plan.Family) (out []netip.Prefix) {
	if policy.Forwards(c.doc) || !Carries(u, family) {
		return nil
	}
	for _, network := range c.host.Links[u.Interface].Networks {
		if plan.FamilyOf(network.Addr()) == family && c.alsoReached(u.Interface, network) {
			out = append(out, network)
		}
	}
	return out
}

// alsoReached reports whether an interface other than dev reaches the same network directly.
func (c *compilation) alsoReached(dev string, network netip.Prefix) bool {
	for name, link := range c.host.Links {
		if name != dev && slices.Contains(link.Networks, network) {
			return true
		}
	}
	return false
}

// addOwnCardRoutes gives a pinned table the routes to its uplink's shared networks.
func (c *compilation) addOwnCardRoutes(table uint32, u *policy.Uplink, family plan.Family) {
	for _, network := range c.sharedNetworks(u, family) {
		c.addRoute(table, family, network, pinnedMetric, []plan.Hop{{Dev: u.Interface, Weight: 1}})
	}
}

// addOwnCardRules adds "from ADDRESS to NETWORK lookup PINNED" ahead of main, and reports whether
// there are any. Where marks come before main's routes they come before these, too.
func (c *compilation) addOwnCardRules(family plan.Family) (added bool) {
	for i := range c.doc.Uplinks {
		u := &c.doc.Uplinks[i]
		networks := c.sharedNetworks(u, family)
		if c.noLink(u) != "" {
			continue
		}
		for _, addr := range c.host.Links[u.Interface].Addrs {
			for _, network := range networks {
				if !network.Contains(addr) {
					continue
				}
				r := plan.Rule{Family: family, Src: netip.PrefixFrom(addr, addr.BitLen()), Dst: network, Table: c.numbers.table(u.Name)}
				if c.doc.Settings.MainFirst == policy.MainFirstOff {
					r.MarkMask = c.mask
				}
				c.addRule(r, priorityOwnCard)
				added = true
			}
		}
	}
	return added
}
