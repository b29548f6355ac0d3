package reference

import (
	"net/netip"
	"slices"
)

// addr takes an address from a pool; hosts are few enough to be met again.
func (g *Generator) addr(pool []netip.Prefix) netip.Addr {
	p := pick(g, pool)
	if p.IsSingleIP() {
		return p.Addr()
	}
	b := p.Addr().AsSlice()
	b[len(b)-1] += byte(1 + g.IntN(250))
	if len(b)*8-p.Bits() >= 16 {
		b[len(b)-2] += byte(g.IntN(16))
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// span makes a single address, a network or a range around the addresses of a pool.
func (g *Generator) span(th theme, src bool) Span {
	pool := g.World.Destinations
	if src {
		pool = g.World.Sources
		if g.chance(2) {
			pool = g.World.SourceNets
		}
	}
	if th != both {
		pool = ofFamily(pool, th == 6)
	}
	net := pick(g, pool)
	a := g.addr([]netip.Prefix{net})
	switch g.IntN(4) {
	case 0:
		return Span{a, a}
	case 1:
		return Span{net.Addr(), lastOf(net)}
	case 2:
		bits := min(a.BitLen(), net.Bits()+g.IntN(8))
		p, _ := a.Prefix(bits)
		return Span{p.Addr(), lastOf(p)}
	}
	b := g.addr([]netip.Prefix{net})
	if b.Less(a) {
		a, b = b, a
	}
	return Span{a, b}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// theme is the IP versions that one policy or rule is about: 4, 6, or both. A policy whose
// entries exclude each other by family is an error of the file, so all of them keep to one theme.
type theme int

const both theme = 0

func (g *Generator) theme() theme { return pick(g, []theme{both, both, 4, 4, 6}) }

// addrItems makes a list of src or dst entries.
func (g *Generator) addrItems(p *Policy, th theme, src, negations bool) []AddrItem {
	var items []AddrItem
	if negations && g.chance(4) {
		for range 1 + g.IntN(2) {
			items = append(items, g.addrItem(p, th, src, true))
		}
		return items
	}
	if th == both {
		items = append(items, g.addrItem(p, 4, src, false), g.addrItem(p, 6, src, false))
	}
	for len(items) == 0 || g.chance(2) {
		items = append(items, g.addrItem(p, th, src, negations && len(items) > 0 && g.chance(3)))
	}
	return items
}

func (g *Generator) addrItem(p *Policy, th theme, src, not bool) AddrItem {
	if g.chance(4) {
		return AddrItem{Not: not, List: pick(g, p.Lists).Name}
	}
	return AddrItem{Not: not, Span: g.span(th, src)}
}

// ruleAddrs are addresses of a rule, which cannot look into run-time lists.
func (g *Generator) ruleAddrs(p *Policy, th theme, src bool) []AddrItem {
	items := g.addrItems(p, th, src, false)
	for i, it := range items {
		if slices.ContainsFunc(p.Lists, func(l List) bool { return l.RunTime && l.Name == it.List }) {
			items[i] = AddrItem{Span: g.span(th, src)}
		}
	}
	return items
}

func (g *Generator) portItems(negations bool) []NumItem {
	var items []NumItem
	not := negations && g.chance(4)
	for range 1 + g.IntN(2) {
		a := uint32(pick(g, ports))
		items = append(items, NumItem{Not: not, From: a, To: a + uint32(g.IntN(2)*g.IntN(3000))})
	}
	return items
}

// oneNum is a list of one or two of a pool's numbers.
func oneNum[T uint8 | uint16 | uint32](g *Generator, pool []T, negations bool) []NumItem {
	not := negations && g.chance(4)
	var items []NumItem
	for range 1 + g.IntN(2) {
		v := uint32(pick(g, pool))
		items = append(items, NumItem{Not: not, From: v, To: v})
	}
	if items[0] == items[len(items)-1] {
		items = items[:1]
	}
	return items
}
