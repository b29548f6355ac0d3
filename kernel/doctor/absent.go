package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// The codes of what a policy names and this machine lacks.
const (
	codeNoInterface = "no-interface"
	codeNATAddress  = "nat-address"
)

// absent warns of what a policy names and this machine does not have now.
func absent(doc *policy.Document, host *plan.HostFacts) policy.Diagnostics {
	ds := absentSelectors(doc, host)
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		link, exists := host.Links[u.Interface]
		if !exists {
			ds = append(ds, policy.Diagnostic{Pos: u.InterfacePos, Severity: policy.Warning, Code: codeNoInterface, Key: "uplink.interface",
				Hint:    "ip -br link shows those that exist; one that comes later, such as a tunnel's, is used from then on",
				Message: fmt.Sprintf("uplink %q: there is no interface %q here now", u.Name, u.Interface)})
			continue
		}
		for _, family := range plan.Families {
			nat := u.SourceNAT(family == plan.IPv6)
			if nat.Mode == policy.NATAddress && !u.Standby && isNeighbours(nat.Addr, link, host) {
				ds = append(ds, policy.Diagnostic{Pos: nat.Pos, Severity: policy.Warning, Code: codeNATAddress, Key: "uplink.nat",
					Hint: fmt.Sprintf(`write an address of %s, or "masquerade"; or give it the interface: ip addr add %s/%d dev %[1]s`,
						u.Interface, nat.Addr, nat.Addr.BitLen()),
					Message: fmt.Sprintf("uplink %q: %s is in the network of %s and an address of no interface here: "+
						"nobody answers for it, so answers do not come back", u.Name, nat.Addr, u.Interface)})
			}
		}
	}
	return ds
}

// isNeighbours reports whether an address is in a network of an interface, where neighbours have to
// find out who has it, and this machine does not have it.
func isNeighbours(a netip.Addr, on plan.Link, host *plan.HostFacts) bool {
	for _, l := range host.Links {
		if slices.Contains(l.Addrs, a) {
			return false
		}
	}
	return slices.ContainsFunc(host.Connected, func(p netip.Prefix) bool {
		return p.Contains(a) && slices.ContainsFunc(on.Addrs, p.Contains)
	})
}

// absentSelectors warns of policies and rules that match nothing, because there is none of the
// interfaces that they name: once for each interface.
func absentSelectors(doc *policy.Document, host *plan.HostFacts) (ds policy.Diagnostics) {
	at := map[string]int{} // interfaces: places in ds
	further := map[string]int{}
	judge := func(kind, name, key string, items []policy.NameItem) {
		if !allAbsent(items, host) {
			return
		}
		item := items[0]
		if _, found := at[item.Name]; found {
			further[item.Name]++
			return
		}
		at[item.Name] = len(ds)
		ds = append(ds, policy.Diagnostic{Pos: item.Pos, Severity: policy.Warning, Code: codeNoInterface, Key: kind + "." + key,
			Hint: "ip -br link shows those that exist; a list of interfaces is written as its members, " +
				key + ` = ["eth1", "eth2"]; one that comes later is matched from then on`,
			Message: fmt.Sprintf("%s %q matches nothing now: %s: there is no interface %q here", kind, name, key, item.Name)})
	}
	for i := range doc.Policies {
		if p := &doc.Policies[i]; !p.Local {
			judge("policy", p.Name, "from", p.From)
		}
	}
	for i := range doc.Rules {
		judge("rule", doc.Rules[i].Name, "iif", doc.Rules[i].IIF)
		judge("rule", doc.Rules[i].Name, "oif", doc.Rules[i].OIF)
	}
	for name, n := range further {
		ds[at[name]].Message += fmt.Sprintf("; further policies or rules that name it: %d", n)
	}
	return ds
}

// allAbsent reports whether interfaces are named, and there is none of them. Names that are left
// out match all others.
func allAbsent(items []policy.NameItem, host *plan.HostFacts) bool {
	for _, item := range items {
		if item.Not || names(item.Name, host) {
			return false
		}
	}
	return len(items) > 0
}

// names reports whether there is an interface with a name, or of a pattern.
func names(pattern string, host *plan.HostFacts) bool {
	if _, exists := host.Links[pattern]; exists || !strings.HasSuffix(pattern, "*") {
		return exists
	}
	for link := range host.Links {
		if plan.NamesInterface(pattern, link) {
			return true
		}
	}
	return false
}
