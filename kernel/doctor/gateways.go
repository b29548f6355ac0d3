package doctor

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// gatewayWarnings are about gateways that do not fit the machine's addresses and routes.
func gatewayWarnings(doc *policy.Document, host *plan.HostFacts) (ds policy.Diagnostics) {
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		warn := func(pos policy.Pos, code, key, hint, message string) {
			ds = append(ds, policy.Diagnostic{Pos: pos, Severity: policy.Warning, Code: code, Key: "uplink." + key, Hint: hint,
				Message: fmt.Sprintf("uplink %q: %s", u.Name, message)})
		}
		for _, family := range plan.Families {
			key, gw := gatewayOf(u, family)
			if refusal := compiler.Refusal(u, family, host); refusal != nil {
				warn(cmp.Or(gw.Pos, u.Pos), codeRefusedGateway, key, refusedHint, refusal.Reason())
			} else if isStrange(gw.Addr, u, host) {
				warn(gw.Pos, codeStrangeGateway, key, strangeHint, strangeGateway(gw.Addr))
			}
			if auto := unnamedGateway(u, family, host.Links[u.Interface]); auto.IsValid() {
				warn(u.Pos, codeUnnamedGateway, key, unnamedHint(key, auto), unnamed(u, auto))
			}
		}
	}
	return ds
}

// gatewayOf returns an uplink's gateway of one family, and the key that names it.
func gatewayOf(u *policy.Uplink, family plan.Family) (key string, gw policy.Gateway) {
	key = "gateway"
	if family == plan.IPv6 {
		key = "gateway6"
	}
	return key, compiler.Gateway(u, family)
}

// isStrange reports whether a gateway is in no network of this machine: most often a mistake,
// sometimes what a provider requires.
func isStrange(gw netip.Addr, u *policy.Uplink, host *plan.HostFacts) bool {
	return gw.IsValid() && !gw.IsLinkLocalUnicast() &&
		host.Links[u.Interface].Addressed(plan.FamilyOf(gw)) &&
		!slices.ContainsFunc(host.Connected, func(p netip.Prefix) bool { return p.Contains(gw) })
}

const refusedHint = "until then the uplink is deferred for this IP version"

const strangeHint = "correct the gateway, unless your provider really uses one outside your network"

func strangeGateway(gw netip.Addr) string {
	return fmt.Sprintf("gateway %s is in no network of this router", gw)
}

// unnamedGateway returns the gateway of main's default route through an uplink for which the policy
// names none; invalid where all is well.
func unnamedGateway(u *policy.Uplink, family plan.Family, link plan.Link) netip.Addr {
	if !compiler.Gateway(u, family).Implicit || !link.Addressed(family) {
		return netip.Addr{}
	}
	via, _ := link.Gateway(family)
	return via
}

func unnamedHint(key string, auto netip.Addr) string {
	return fmt.Sprintf("write %s = %q into the uplink", key, auto)
}

func unnamed(u *policy.Uplink, auto netip.Addr) string {
	return fmt.Sprintf("the policy names no gateway, so that packets go to each destination directly, but main's "+
		"default route through %s has gateway %s", u.Interface, auto)
}

// strangeGateways adds the gateways that are in no network of this machine.
func (e *examination) strangeGateways() {
	for i := range e.Doc.Uplinks {
		u := &e.Doc.Uplinks[i]
		for _, gw := range []netip.Addr{u.Gateway.Addr, u.Gateway6.Addr} {
			if isStrange(gw, u, &e.facts.Host) {
				e.add(Warn, fmt.Sprintf("%s (%s)", u.Name, u.Interface), strangeHint, "%s", strangeGateway(gw))
			}
		}
	}
}
