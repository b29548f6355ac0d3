package reference

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
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
