package daemon

import (
	"fmt"
	"net/netip"
	"strings"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// UplinkVersions returns the uplinks in each version that they carry, in the policy's order.
func UplinkVersions(doc *policy.Document) (list []healthcheck.UplinkVersion) {
	for i := range doc.Uplinks {
		for _, family := range plan.Families {
			if u := &doc.Uplinks[i]; compiler.Carries(u, family) {
				list = append(list, healthcheck.UplinkVersion{Uplink: u.Name, Version: healthcheck.Version(family)})
			}
		}
	}
	return list
}

// optional reports whether an uplink may lack a version that the policy makes it carry: a
// point-to-point device carries IPv6 by default, the provider may have none, and the machine may
// have IPv6 disabled.
func optional(u *policy.Uplink, link plan.Link, host plan.HostFacts, family plan.Family) bool {
	return compiler.MayLack(u, family) || family == plan.IPv6 && (u.Gateway6.Auto || host.NoIPv6 || link.NoIPv6)
}

// MayLack reports whether a missing version is not a failure.
func MayLack(doc *policy.Document, host plan.HostFacts, uv healthcheck.UplinkVersion) bool {
	u := doc.Uplink(uv.Uplink)
	return optional(u, host.Links[u.Interface], host, plan.Family(uv.Version))
}

// Links returns the state of each uplink's interface from the host facts.
func Links(doc *policy.Document, host plan.HostFacts) map[healthcheck.UplinkVersion]healthcheck.LinkState {
	links := map[healthcheck.UplinkVersion]healthcheck.LinkState{}
	for _, uv := range UplinkVersions(doc) {
		u, family := doc.Uplink(uv.Uplink), plan.Family(uv.Version)
		link, exists := host.Links[u.Interface]
		links[uv] = healthcheck.LinkState{
			Exists: exists, Up: link.Up, Carrier: link.Carrier,
			Standby:   standby(u, link, family),
			Addressed: addressed(u, link, family) && !standby(u, link, family) && !(family == plan.IPv6 && (host.NoIPv6 || link.NoIPv6)),
			Routed:    routed(u, link, family),
			Refused:   gatewayRefused(u, &host, family),
		}
	}
	return links
}

// addressed reports whether connections of a family can use an uplink and get answers: it has an
// address, or needs none of its own. Without masquerade a point-to-point device may have no
// address, and an IPv6 router may have only a link-local one, which the host facts do not list.
func addressed(u *policy.Uplink, link plan.Link, family plan.Family) bool {
	if link.Addressed(family) {
		return true
	}
	return u.SourceNAT(family == plan.IPv6).Mode != policy.NATMasquerade && (family == plan.IPv6 || u.Gateway.Link)
}

// standby reports whether the missing address is one that the router shares with another one, which
// holds it now: the address that the uplink translates to, or any address if the policy says
// standby.
func standby(u *policy.Uplink, link plan.Link, family plan.Family) bool {
	if link.Addressed(family) || family == plan.IPv6 && link.Addressed(plan.IPv4) {
		return false
	}
	shared := u.SourceNAT(family == plan.IPv6).Mode == policy.NATAddress && !addressed(u, link, family)
	return u.Standby || shared
}

// sharedWith reports whether an address of an uplink may be one that the router shares with another
// one: it comes and goes with VRRP, and its connections continue at the other router.
func sharedWith(u *policy.Uplink, a netip.Addr) bool {
	nat := u.SourceNAT(a.Is6())
	return u.Standby || nat.Mode == policy.NATAddress && nat.Addr == a
}

// routed reports whether the next hop of a family is known: an automatic one is main's.
func routed(u *policy.Uplink, link plan.Link, family plan.Family) bool {
	_, found := link.Gateway(family)
	return found || !compiler.Gateway(u, family).Auto
}

// gatewayRefused says why the kernel takes no route over an uplink's gateway; empty if it takes
// them.
func gatewayRefused(u *policy.Uplink, host *plan.HostFacts, family plan.Family) string {
	if r := compiler.Refusal(u, family, host); r != nil {
		return r.Reason()
	}
	return ""
}

// CheckUplink returns what is wrong with an uplink's name.
func CheckUplink(doc *policy.Document, name string) error {
	names := make([]string, 0, len(doc.Uplinks))
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		if u.Name == name {
			return nil
		}
		names = append(names, u.Name)
	}
	for i := range doc.Uplinks {
		if u := &doc.Uplinks[i]; u.Interface == name {
			return fmt.Errorf("there is no uplink %s in %s: it is the interface of uplink %s; did you mean that?", name, doc.File, u.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("there is no uplink %s in %s: the policy has no uplinks", name, doc.File)
	}
	return fmt.Errorf("there is no uplink %s in %s: the uplinks are %s", name, doc.File, strings.Join(names, ", "))
}
