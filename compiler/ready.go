package compiler

import (
	"fmt"
	"net/netip"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Carries reports whether an uplink is meant to carry a family at all.
func Carries(u *policy.Uplink, family plan.Family) bool { return Gateway(u, family).Present }

// Gateway is an uplink's next hop of a family, as the policy names it.
func Gateway(u *policy.Uplink, family plan.Family) policy.Gateway {
	return u.GatewayOf(family == plan.IPv6)
}

// MayLack reports whether an uplink may be without a family because the policy does not name it: a
// point-to-point device carries IPv6 too, which its provider may not have.
func MayLack(u *policy.Uplink, family plan.Family) bool {
	return family == plan.IPv6 && u.Gateway6.Implicit
}

// hop returns the next hop through an uplink, and false if the uplink does not carry the family
// or the machine is not ready for it; then what is missing is noted as deferred.
func (c *compilation) hop(u *policy.Uplink, family plan.Family) (plan.Hop, bool) {
	gw := Gateway(u, family)
	if !gw.Present {
		return plan.Hop{}, false
	}
	hop := plan.Hop{Dev: u.Interface, Weight: 1, Masquerade: !c.host.Known && masquerades(u, family)}
	if reason := c.notReady(u, family); reason != "" {
		if !MayLack(u, family) || reason == c.noLink(u) {
			c.postponeUplink(u.Name, reason)
		}
		return plan.Hop{}, false
	}
	switch {
	case gw.Link:
	case gw.Auto && !c.host.Known:
		hop.Auto, hop.Onlink = true, true
	case gw.Auto:
		via, found := c.host.Links[u.Interface].Gateway(family)
		if !found {
			c.postponeUplink(u.Name, fmt.Sprintf("main has no IPv%d default route over %s to take the gateway from",
				family, u.Interface))
			return plan.Hop{}, false
		}
		hop.Via, hop.Onlink = via, via.IsValid()
	default:
		hop.Via, hop.Onlink = gw.Addr, true
	}
	if refusal := Refusal(u, family, &c.host); refusal != nil {
		c.postpone("uplink "+u.Name, refusal.Reason())
		return plan.Hop{}, false
	}
	return hop, true
}

// Refusal returns why the kernel takes no route of a family over an uplink's gateway; nil if it
// takes them, or nothing is known of it.
func Refusal(u *policy.Uplink, family plan.Family, host *plan.HostFacts) *plan.Refusal {
	gw := Gateway(u, family)
	via := gw.Addr
	if gw.Auto {
		via, _ = host.Links[u.Interface].Gateway(family)
	}
	return host.Refusal(u.Interface, via)
}

// namedGateways are the gateways that a policy names, behind their interfaces.
func namedGateways(doc *policy.Document) (hops []plan.NextHop) {
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		for _, family := range plan.Families {
			if gw := Gateway(u, family); gw.Present && gw.Addr.IsValid() {
				hops = append(hops, plan.NextHop{Dev: u.Interface, Via: gw.Addr})
			}
		}
	}
	return hops
}

// checkGateways refuses the router's own addresses as gateways: the kernel takes them, and nothing
// ever arrives.
func (c *compilation) checkGateways() {
	own := map[netip.Addr]string{}
	for name, link := range c.host.Links {
		for _, addr := range link.Addrs {
			own[addr] = name
		}
	}
	for i := range c.doc.Uplinks {
		u := &c.doc.Uplinks[i]
		for _, gw := range []policy.Gateway{u.Gateway, u.Gateway6} {
			if link := own[gw.Addr]; link != "" && gw.Addr.IsValid() {
				c.problem(gw.Pos, policy.CodeOwnGateway, "uplink.gateway",
					fmt.Sprintf("uplink %q: gateway %s is this router's own address, on %s", u.Name, gw.Addr, link),
					"write the address of the provider's router")
			}
		}
	}
}

// noLink returns why no route can use the uplink's interface in any family; empty if one can.
func (c *compilation) noLink(u *policy.Uplink) string {
	if !c.host.Known {
		return ""
	}
	link, exists := c.host.Links[u.Interface]
	switch {
	case !exists:
		return fmt.Sprintf("interface %s does not exist", u.Interface)
	case !link.Up:
		return fmt.Sprintf("interface %s is down", u.Interface)
	}
	return ""
}

// notReady returns what keeps a route of the family from using the uplink; empty if nothing does.
func (c *compilation) notReady(u *policy.Uplink, family plan.Family) string {
	if reason := c.noLink(u); reason != "" || !c.host.Known {
		return reason
	}
	link := c.host.Links[u.Interface]
	switch {
	case family == plan.IPv6 && c.host.NoIPv6:
		return "this kernel has no IPv6"
	case family == plan.IPv6 && link.NoIPv6:
		return fmt.Sprintf("IPv6 is disabled on interface %s", u.Interface)
	case masquerades(u, family) && otherFamilyOnly(link, family):
		return fmt.Sprintf("interface %s has no IPv%d address", u.Interface, family)
	}
	return ""
}

func masquerades(u *policy.Uplink, family plan.Family) bool {
	return u.SourceNAT(family == plan.IPv6).Mode == policy.NATMasquerade
}

// otherFamilyOnly reports whether the link has addresses of the other family, and none of this one
// to come. Masquerade would then take another interface's address, to which no answer comes back. A
// link without any is not set up yet: its routes may come before it is.
func otherFamilyOnly(link plan.Link, family plan.Family) bool {
	if family == plan.IPv6 && link.Tentative6 {
		return false
	}
	return len(link.Addrs) > 0 && !link.Addressed(family)
}
