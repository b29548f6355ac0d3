package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"pbr/kernel/facts"
)

// Quick is the part of Examine that takes no time, without the findings that are OK: an apply
// reports it at once. What keeps the policy from working comes first. Unless watch is set, it does
// not report that pbr watch is not running.
func Quick(s *Subject, f *facts.Facts, watch bool) []Finding {
	if s.Doc == nil {
		return nil
	}
	e := &examination{Subject: s, facts: f}
	e.kernel()
	e.group = groupSettings
	for _, t := range e.tallies() {
		level, _ := e.impact(t.kind)
		if t.bad != nil && (t.kind == "rp_filter" || t.kind == "ip_forward" || t.kind == "src_valid_mark" && level == Fail) {
			e.badSetting(t)
		}
	}
	e.group = groupOthers
	e.ipRules()
	e.group = groupUplinks
	e.strangeGateways()
	if e.group = groupPBR; watch {
		e.watch()
	}
	out := slices.DeleteFunc(e.out, func(f Finding) bool { return f.Level == OK })
	slices.SortStableFunc(out, func(a, b Finding) int { return rank(a.Level) - rank(b.Level) })
	return out
}

func rank(l Level) int {
	if l == Fail {
		return 0
	}
	return 1
}

// strangeGateways looks for gateways that are in no network of this machine: most often a mistake,
// sometimes what a provider requires.
func (e *examination) strangeGateways() {
	for i := range e.Doc.Uplinks {
		u := &e.Doc.Uplinks[i]
		link := e.facts.Host.Links[u.Interface]
		for _, gw := range []netip.Addr{u.Gateway.Addr, u.Gateway6.Addr} {
			if !gw.IsValid() || gw.IsLinkLocalUnicast() ||
				!slices.ContainsFunc(link.Addrs, func(a netip.Addr) bool { return a.Is4() == gw.Is4() }) {
				continue
			}
			if !slices.ContainsFunc(e.facts.Host.Connected, func(p netip.Prefix) bool { return p.Contains(gw) }) {
				e.add(Warn, fmt.Sprintf("%s (%s)", u.Name, u.Interface),
					"correct the gateway, unless your provider really uses one outside your network",
					"gateway %s is in no network of this router", gw)
			}
		}
	}
}
