package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"pbr/compiler/sorting"
)

// defaultMetric6 is what the kernel makes of an IPv6 route's metric 0 (IP6_RT_PRIO_USER,
// linux/ipv6_route.h).
const defaultMetric6 = 1024

// Normalize puts p into the one form that both the compiler's and the live plan have, so that equal
// content is equal byte for byte: prefixes masked, hops and elements sorted, the kernel's
// defaults written out, every list in canonical order. Chains and their rules keep their
// order, which has a meaning.
func Normalize(p *Plan) {
	for i := range p.Routes {
		p.Routes[i].normalize()
	}
	for i := range p.Rules {
		p.Rules[i].normalize()
	}
	Sort(p)
}

// Sort puts every list of p whose order means nothing into canonical order.
func Sort(p *Plan) {
	sorting.Func(p.Numbers, func(a, b Number) int { return strings.Compare(a.Name, b.Name) })
	sorting.Func(p.Rules, CompareRules)
	sorting.Func(p.Routes, CompareRoutes)
	sorting.Func(p.Sysctls, compareSysctls)
	sorting.Func(p.Deferred, func(a, b Deferred) int {
		return cmp.Or(strings.Compare(a.Object, b.Object), strings.Compare(a.Reason, b.Reason))
	})
	sorting.Func(p.Dynamic, compareDynamic)
	sorting.Func(p.Routed, func(a, b Routed) int { return cmp.Or(strings.Compare(a.Set, b.Set), a.Key.Compare(b.Key)) })
	sorting.Func(p.Ruleset.Counters, func(a, b Counter) int { return strings.Compare(a.Name, b.Name) })
	sorting.Func(p.Ruleset.Flowtables, func(a, b Flowtable) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range p.Ruleset.Flowtables {
		slices.Sort(f.Devices)
		slices.Sort(f.Except)
	}
	sorting.Func(p.Ruleset.Sets, func(a, b Set) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range p.Ruleset.Sets {
		sorting.Func(s.Elements, compareElements)
		sorting.Func(s.Tuples, CompareTuples)
	}
	slices.Sort(p.Ruleset.Foreign)
}

func compareElements(a, b Element) int { return a.From.Compare(b.From) }

// CompareRules orders rules by family, then priority, then all other fields; 0 means equal.
func CompareRules(a, b Rule) int {
	if c := cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority)); c != 0 || a == b {
		return c
	}
	return cmp.Or(
		a.Src.Compare(b.Src), a.Dst.Compare(b.Dst),
		strings.Compare(a.IIF, b.IIF), strings.Compare(a.OIF, b.OIF),
		cmp.Compare(a.TOS, b.TOS), cmp.Compare(a.DSCP, b.DSCP), cmp.Compare(a.Proto, b.Proto),
		cmp.Compare(a.SPort.From, b.SPort.From), cmp.Compare(a.SPort.To, b.SPort.To),
		cmp.Compare(a.DPort.From, b.DPort.From), cmp.Compare(a.DPort.To, b.DPort.To),
		compareBool(a.HasUID, b.HasUID), cmp.Compare(a.UID.From, b.UID.From), cmp.Compare(a.UID.To, b.UID.To),
		cmp.Compare(a.Mark, b.Mark), cmp.Compare(a.MarkMask, b.MarkMask), compareBool(a.Invert, b.Invert),
		cmp.Compare(a.Action, b.Action), cmp.Compare(a.Table, b.Table),
		cmp.Compare(a.SuppressPrefix, b.SuppressPrefix), cmp.Compare(a.Goto, b.Goto),
		cmp.Compare(a.Protocol, b.Protocol), strings.Compare(a.Foreign, b.Foreign))
}

// Compare orders route keys by family, table, destination, metric.
func (k RouteKey) Compare(o RouteKey) int {
	return cmp.Or(cmp.Compare(k.Family, o.Family), cmp.Compare(k.Table, o.Table),
		k.Dst.Compare(o.Dst), cmp.Compare(k.Metric, o.Metric))
}

// CompareRoutes orders routes by key, then all other fields; 0 means equal.
func CompareRoutes(a, b Route) int {
	if c := a.Key().Compare(b.Key()); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), slices.CompareFunc(a.Hops, b.Hops, CompareHops),
		cmp.Compare(a.Protocol, b.Protocol), strings.Compare(a.Foreign, b.Foreign))
}

// CompareHops orders hops by device, then gateway, then all other fields; 0 means equal.
func CompareHops(a, b Hop) int {
	return cmp.Or(strings.Compare(a.Dev, b.Dev), a.Via.Compare(b.Via), compareBool(a.Auto, b.Auto),
		compareBool(a.Masquerade, b.Masquerade), cmp.Compare(a.Weight, b.Weight), compareBool(a.Onlink, b.Onlink))
}

func compareDynamic(a, b Dynamic) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Kind, b.Kind),
		strings.Compare(a.Uplink, b.Uplink), strings.Compare(a.Interface, b.Interface), cmp.Compare(a.Table, b.Table),
		cmp.Compare(a.Mark, b.Mark), cmp.Compare(a.MarkMask, b.MarkMask), cmp.Compare(a.SuppressPrefix, b.SuppressPrefix))
}

// compareSysctls orders settings by path, but forwarding last: when it is switched on the kernel
// forgets the default routes that routers announced on interfaces whose accept_ra is not 2 by then
// (ip-sysctl.rst).
func compareSysctls(a, b Sysctl) int {
	return cmp.Or(compareBool(SettingOf(a.Path).Name == "forwarding", SettingOf(b.Path).Name == "forwarding"),
		strings.Compare(a.Path, b.Path))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Equal reports whether both normal routes are the same in everything, next hops included.
func (r Route) Equal(o Route) bool {
	return r.Key() == o.Key() && r.Kind == o.Kind && r.Protocol == o.Protocol && r.Foreign == o.Foreign &&
		slices.Equal(r.Hops, o.Hops)
}

// normalize gives r the form that the kernel lists it in. The kernel puts loopback as the hop of
// IPv6 routes without one, and makes nothing of a lone hop's weight.
func (r *Route) normalize() {
	r.Dst = r.Dst.Masked()
	if r.Family == IPv6 && r.Metric == 0 {
		r.Metric = defaultMetric6
	}
	if r.Kind != Unicast {
		r.Hops = nil
	}
	for i := range r.Hops {
		h := &r.Hops[i]
		if h.Weight < 1 || len(r.Hops) == 1 {
			h.Weight = 1
		}
		h.Via = h.Via.WithZone("")
		if !h.Via.IsValid() {
			h.Onlink = false
		}
	}
	sorting.Func(r.Hops, CompareHops)
}

// normalize gives r the form that the kernel lists it in: a prefix of length 0 selects nothing,
// bits of the mark outside its mask are meaningless, and only a look-up has a table.
func (r *Rule) normalize() {
	r.Src, r.Dst = selector(r.Src), selector(r.Dst)
	r.Mark &= r.MarkMask
	if r.Action != ActLookup {
		r.Table, r.SuppressPrefix = 0, 0
	}
	if r.Action != ActGoto {
		r.Goto = 0
	}
}

func selector(p netip.Prefix) netip.Prefix {
	if !p.IsValid() || p.Bits() == 0 {
		return netip.Prefix{}
	}
	return p.Masked()
}
