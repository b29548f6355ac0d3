package reference

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// World is what random policies and packets are made of. Every pool has things that meet and
// things that do not.
type World struct {
	// Arrivals are the interfaces that are no uplinks.
	Arrivals []string
	// Uplinks are complete: generated policies take gateways away and change nat.
	Uplinks []Uplink
	// Sources and Destinations are networks that packets' addresses are taken from, both families.
	Sources, Destinations []netip.Prefix
	// SourceNets are further networks that policies name sources of.
	SourceNets []netip.Prefix
	// MainDefault is the uplink that main's default routes use, empty if there are none.
	MainDefault string
	// OldRules says that the kernel's rules know no DSCP: Linux before 6.13.
	OldRules bool
	// Cgroups are control groups that local senders are in; none where packets cannot be sent so.
	Cgroups []string
	// RunTime says that lists may have members that are added at run time.
	RunTime bool
	// Domains says that these may be filled by DNS answers.
	Domains bool
}

// MACs are the hardware addresses that policies and packets have in common.
var MACs = [][6]byte{{2, 0xaa, 0, 0, 0, 1}, {2, 0xaa, 0, 0, 0, 2}, {2, 0xaa, 0, 0, 0, 3}}

// Pools of numbers that policies and packets have in common.
var (
	ports  = []uint16{22, 53, 80, 443, 5060, 5061, 8080, 40000}
	dscps  = []uint8{0, 4, 8, 10, 46}
	uids   = []uint32{0, 1001, 1500, 65534}
	gids   = []uint32{0, 33, 1500}
	protos = []uint8{1, 6, 17, 50, 58}
)

// Generator makes random policies and packets, the same ones from the same Rand.
type Generator struct {
	*rand.Rand
	World World
}

func pick[T any](g *Generator, from []T) T { return from[g.IntN(len(from))] }

// chance reports whether it is one of n cases.
func (g *Generator) chance(n int) bool { return g.IntN(n) == 0 }

// Policy makes a policy file.
func (g *Generator) Policy() *Policy {
	p := &Policy{MainFirst: pick(g, []string{"specific", "specific", "connected", "off"})}
	for _, u := range g.World.Uplinks {
		p.Uplinks = append(p.Uplinks, g.uplink(u))
	}
	for i := range 1 + g.IntN(4) {
		p.Tables = append(p.Tables, Table{
			Name: fmt.Sprintf("table-%d", i), Routes: g.routes(p, 1+g.IntN(3), true), Strict: g.chance(3),
		})
	}
	if !g.chance(5) {
		p.HasDefault = true
		p.Default = g.routes(p, 1+g.IntN(3), false)
	}
	for i := range 3 {
		l := List{Name: fmt.Sprintf("list-%d", i)}
		l.Spans = append(l.Spans, g.span(4, g.chance(2)), g.span(6, g.chance(2)))
		for range g.IntN(3) {
			l.Spans = append(l.Spans, g.span(both, g.chance(2)))
		}
		if g.World.RunTime && g.chance(2) {
			l.RunTime, l.Spans = true, l.Spans[:g.IntN(len(l.Spans)+1)]
			l.Dynamic = true
			if g.World.Domains {
				l.Dynamic, l.Domains = !g.chance(3), g.chance(3)
				l.Domains = l.Domains || !l.Dynamic
			}
			for range g.IntN(4) {
				m := g.span(both, g.chance(2))
				if !l.Dynamic {
					m.To = m.From
				}
				l.Members = append(l.Members, m)
			}
		}
		p.Lists = append(p.Lists, l)
	}
	for i := range g.IntN(3) {
		p.Balances = append(p.Balances, g.balance(p, fmt.Sprintf("balance-%d", i)))
	}
	g.Classes(p)
	for i := range g.IntN(6) {
		p.Rules = append(p.Rules, g.rule(p, fmt.Sprintf("rule-%d", i)))
	}
	return p
}

func (g *Generator) balance(p *Policy, name string) Balance {
	b := Balance{Name: name, Method: pick(g, []string{"hash", "hash", "round-robin", "random"})}
	if b.Method == "hash" {
		for _, field := range []string{"src", "dst", "sport", "dport", "proto"} {
			if g.chance(2) {
				b.Hash = append(b.Hash, field)
			}
		}
	}
	if g.chance(3) {
		b.Sticky = "1h"
	}
	used := map[Member]bool{}
	for range 1 + g.IntN(3) {
		var m Member
		if g.chance(2) {
			m.Uplink = pick(g, p.Uplinks).Name
		} else {
			m.Table = pick(g, p.Tables).Name
		}
		if !used[m] {
			used[m] = true
			m.Weight = 1 + g.IntN(4)
			b.Members = append(b.Members, m)
		}
	}
	return b
}

// Classes gives p other policies.
func (g *Generator) Classes(p *Policy) {
	p.Policies = nil
	n := 1 + g.IntN(9)
	if g.chance(3) {
		n += g.IntN(20)
	}
	for i := range n {
		p.Policies = append(p.Policies, g.class(p, fmt.Sprintf("policy-%d", i)))
	}
}

func (g *Generator) uplink(u Uplink) Uplink {
	if u.Gateway4 != "" && u.Gateway6 != "" {
		switch g.IntN(4) {
		case 0:
			u.Gateway6 = ""
		case 1:
			if u.Name == g.World.MainDefault {
				u.Gateway4, u.Gateway6 = "auto", "auto"
			}
		case 2:
			if g.chance(3) {
				u.Gateway4 = ""
			}
		}
	}
	u.NAT = pick(g, []string{"masquerade", "masquerade", "none", "203.0.113.77"})
	if !u.Carries(false) && u.NAT == "203.0.113.77" {
		u.NAT = "none"
	}
	return u
}

// routes makes a table's routes. No two of them are the same route twice.
func (g *Generator) routes(p *Policy, n int, withDst bool) []Route {
	var routes []Route
	used := map[string]bool{}
	for range n {
		r := Route{Uplink: pick(g, p.Uplinks).Name, Distance: 1 + g.IntN(3), Weight: 1 + g.IntN(2)}
		if dst := pick(g, g.World.Destinations); withDst && g.chance(4) && uplinkOf(p, r.Uplink).Carries(dst.Addr().Is6()) {
			r.Dst = dst
		}
		if key := r.Uplink + r.Dst.String(); !used[key] {
			used[key] = true
			routes = append(routes, r)
		}
	}
	return routes
}

func uplinkOf(p *Policy, name string) Uplink { return Evaluator{Policy: p}.uplink(name) }

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

// protosOf omits the ICMP that a theme does not have.
func protosOf(th theme) []uint8 {
	return slices.DeleteFunc(slices.Clone(protos), func(v uint8) bool { return v == 1 && th == 6 || v == 58 && th == 4 })
}

func (g *Generator) class(p *Policy, name string) Class {
	c := Class{Name: name}
	local, th := g.chance(4), g.theme()
	switch {
	case local && g.chance(3):
		c.From = []NameItem{{Name: "local"}, {Name: pick(g, append([]string{everyInterface}, g.World.Arrivals...))}}
	case local:
		c.From = []NameItem{{Name: "local"}}
	case g.chance(3):
		c.From = []NameItem{{Name: pick(g, g.World.Arrivals), Not: g.chance(4)}}
	}
	if g.chance(2) {
		c.Src = g.addrItems(p, th, true, true)
	}
	if !g.chance(3) {
		c.Dst = g.addrItems(p, th, false, true)
	}
	switch g.IntN(6) {
	case 0:
		c.Proto = oneNum(g, protosOf(th), true)
	case 1:
		c.Proto = oneNum(g, []uint8{6, 17}, false)
		fallthrough
	case 2:
		if g.chance(3) {
			c.SPort = g.portItems(true)
		}
		c.DPort = g.portItems(true)
	case 3:
		c.ICMP = []string{"echo-request"}
		if th == 4 && g.chance(2) {
			c.ICMP = []string{"timestamp-request"}
		}
	}
	if g.chance(5) {
		c.DSCP = oneNum(g, dscps, true)
	}
	if g.chance(8) {
		c.Schedule = pick(g, []string{"on", "off"})
	}
	if g.chance(8) {
		c.Mark, c.MarkMask = pick(g, []uint32{0, 1}), pick(g, []uint32{0x1, 0x3})
	}
	if th != both && g.chance(4) {
		c.IPVersion = int(th)
	}
	// What only one kind of traffic has is asked for only where the other kind is not meant.
	if len(c.From) == 1 && local && g.chance(2) {
		c.UID = oneNum(g, uids, false)
	}
	if len(c.From) == 1 && local && g.chance(4) {
		c.GID = oneNum(g, gids, false)
	}
	if len(c.From) == 1 && local && len(g.World.Cgroups) > 0 {
		g.programs(&c)
	}
	if !local && g.chance(6) {
		c.MAC = [][6]byte{pick(g, MACs)}
	}
	switch g.IntN(7) {
	case 6:
		c.Action = pick(g, []string{"unreachable", "drop"})
	case 0:
		c.Default = true
	case 1:
		c.Uplink, c.Strict = pick(g, p.Uplinks).Name, g.chance(2)
	case 2, 3:
		if len(p.Balances) > 0 {
			c.Balance, c.Strict = pick(g, p.Balances).Name, g.chance(3)
			break
		}
		fallthrough
	default:
		c.Table = pick(g, p.Tables).Name
	}
	return c
}

// programs has a policy select by control group, by unit, or by both.
func (g *Generator) programs(c *Class) {
	for range g.IntN(3) {
		c.Cgroup = append(c.Cgroup, g.above(pick(g, g.World.Cgroups)))
	}
	c.Cgroup = slices.Compact(c.Cgroup)
	if g.chance(3) {
		c.Unit = []string{path.Base(g.above(pick(g, g.World.Cgroups)))}
	}
}

// above is a control group or one that it is in.
func (g *Generator) above(cgroup string) string {
	for g.chance(3) && strings.Contains(cgroup, "/") {
		cgroup = path.Dir(cgroup)
	}
	return cgroup
}

func (g *Generator) rule(p *Policy, name string) Rule {
	r, th := Rule{Name: name}, g.theme()
	if g.chance(2) {
		r.Priority = 1 + g.IntN(40)
	}
	if g.chance(2) {
		r.Src = g.ruleAddrs(p, th, true)
	}
	if g.chance(2) {
		r.Dst = g.ruleAddrs(p, th, false)
	}
	switch g.IntN(8) {
	case 0:
		r.IIF = []NameItem{{Name: pick(g, append([]string{"lo"}, g.World.Arrivals...))}}
	case 1:
		r.Proto = oneNum(g, []uint8{6, 17}, false)
		r.DPort = g.portItems(false)
	case 2:
		if !g.World.OldRules {
			r.DSCP = oneNum(g, []uint8{8, 10, 46}, false)
		}
	case 3:
		// 0x10 is the one value whose bits no other DSCP of the pool has: IPv4 rules compare three
		// bits only.
		r.TOS = []NumItem{{From: 0x10, To: 0x10}}
	case 4:
		r.UID = oneNum(g, uids, false)
	case 5:
		r.Mark, r.MarkMask = 0x1, 0x3
	case 6:
		r.Proto = oneNum(g, protosOf(th), false)
	}
	switch g.IntN(7) {
	case 0:
		r.Action = pick(g, []string{"unreachable", "prohibit", "drop"})
		return r
	case 1:
		r.Action = "lookup-only-in-table"
	}
	switch {
	case g.chance(3):
		r.Uplink = pick(g, p.Uplinks).Name
	case g.chance(4):
		r.Table = pick(g, []string{"default", "main"})
	default:
		r.Table = pick(g, p.Tables).Name
	}
	return r
}

// Packet makes the first packet of a connection.
func (g *Generator) Packet() Packet {
	v6 := g.chance(3)
	k := Packet{IIF: pick(g, g.World.Arrivals), MAC: pick(g, MACs)}
	k.Src = g.addr(ofFamily(g.World.Sources, v6))
	k.Dst = g.addr(ofFamily(g.World.Destinations, v6))
	k.DSCP = dscps[max(0, g.IntN(2*len(dscps))-len(dscps))]
	switch n := g.IntN(20); {
	case n < 8:
		k.Proto = 17
	case n < 15:
		k.Proto = 6
	case n < 17:
		k.Proto = 50
	default:
		k.Proto, k.ICMPType, k.SPort = 1, pick(g, []uint8{8, 8, 13}), uint16(g.IntN(1<<16))
		if v6 {
			k.Proto, k.ICMPType = 58, 128
		}
	}
	if k.Proto == 6 || k.Proto == 17 {
		k.SPort, k.DPort = pick(g, ports)+uint16(g.IntN(3)*g.IntN(2000)), pick(g, ports)
	}
	return k
}

// LocalPacket makes a UDP packet of the router's own, from an address that the kernel chooses or
// one of srcs.
func (g *Generator) LocalPacket(srcs []netip.Addr) Packet {
	v6 := g.chance(3)
	k := Packet{UID: pick(g, uids), GID: pick(g, gids), Proto: 17, DPort: pick(g, ports)}
	if len(g.World.Cgroups) > 0 && !g.chance(5) {
		k.Cgroup = pick(g, g.World.Cgroups)
	}
	k.SPort = 20000 + uint16(g.IntN(20000))
	k.Dst = g.addr(ofFamily(g.World.Destinations, v6))
	if src := pick(g, srcs); g.chance(3) && src.Is6() == v6 {
		k.Src = src
	}
	return k
}

func ofFamily(pool []netip.Prefix, v6 bool) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range pool {
		if p.Addr().Is6() == v6 {
			out = append(out, p)
		}
	}
	return out
}
