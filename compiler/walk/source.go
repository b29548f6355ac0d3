package walk

import (
	"net/netip"
	"slices"

	"pbr/compiler/plan"
)

// validSource reports whether an IPv4 packet's source passes the kernel's check
// (fib_validate_source, net/ipv4/fib_frontend.c). oif is the interface that the packet is to leave
// through, empty for one that the router itself gets.
func (f *fib) validSource(t *trip, oif string) bool {
	if !f.facts.Known || t.Src.Is6() {
		return true
	}
	link := f.facts.Links[t.IIF]
	check := link.Source
	if check.ReversePath == 0 {
		if check.AcceptLocal {
			return true
		}
		if !f.customRules() {
			return f.kind(t.Src) != kindLocal
		}
	}
	back := t.flow()
	back.Src, back.Dst, back.SPort, back.DPort, back.IIF, back.UID = t.Dst, t.Src, back.DPort, back.SPort, oif, 0
	if oif == "" {
		back.IIF = loopback
	}
	if !check.ValidMark {
		back.Mark = 0
	}
	to := f.lookUp(&back)
	switch {
	case to.refused != 0:
		return check.ReversePath == 0
	case to.kind == kindLocal:
		return check.AcceptLocal && (check.ReversePath != 1 || f.own[t.Src] == t.IIF)
	case to.kind != kindUnicast:
		return false
	case slices.ContainsFunc(to.hops, func(h plan.Hop) bool { return h.Dev == t.IIF }):
		return true
	case !slices.ContainsFunc(link.Addrs, func(p netip.Prefix) bool { return p.Addr().Is4() }):
		return check.ReversePath == 0
	}
	return check.ReversePath != 1
}

// customRules reports whether there are rules beside the kernel's own (fib4_has_custom_rules).
func (f *fib) customRules() bool { return len(f.rules[plan.IPv4]) > 3 }

// answer is what "fib" expressions get (net/ipv4/netfilter/nft_fib_ipv4.c,
// net/ipv6/netfilter/nft_fib_ipv6.c).
func (f *fib) answer(w *Walker, field plan.Field) uint32 {
	p := w.packet
	switch field {
	case plan.FieldFibDAddrType:
		return uint32(f.kind(p.Dst))
	case plan.FieldFibSAddrType:
		return uint32(f.kind(p.Src))
	case plan.FieldFibSAddrOIFType:
		if kind := f.kind(p.Src); kind != kindLocal || f.own[p.Src] == p.OIF {
			return uint32(kind)
		}
		return uint32(kindUnicast)
	}
	back := Flow{Src: p.Dst, Dst: p.Src, IIF: loopback, Mark: w.result.Mark, Proto: p.Proto, DSCP: p.DSCP}
	to := f.lookUp(&back)
	if !f.facts.Known || to.refused == 0 && to.kind == kindUnicast &&
		slices.ContainsFunc(to.hops, func(h plan.Hop) bool { return h.Dev == p.IIF }) {
		return 1
	}
	return 0
}
