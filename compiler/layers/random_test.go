package layers

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// seedEnv repeats a run of the random tests.
const seedEnv = "PBR_SEED"

func testRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s=%s: %v", seedEnv, s, err)
		}
	}
	t.Logf("%s=%d repeats this run", seedEnv, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// list is a random list of policies, with the sets that it refers to.
type list struct {
	*rand.Rand
	policies []Policy
	sets     map[string]*plan.Set
}

// Pools that are small enough for policies to meet.
var (
	nets4 = []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.128/25", "10.1.2.3/32",
		"172.16.0.0/12", "192.168.0.0/24", "192.168.0.7/32"}
	nets6  = []string{"::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:2::/64", "2001:db8:1:2::3/128", "fd00::/8"}
	ifaces = []string{"lan", "guest", "wg0"}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func randomList(r *rand.Rand, n int) *list {
	l := &list{Rand: r, sets: map[string]*plan.Set{}}
	for i := range n {
		name := fmt.Sprintf("p%d", i)
		p := Policy{Name: name, Body: body(plan.Count{Counter: name}, plan.Accept{})}
		for range 1 + r.IntN(2) {
			p.Selections = append(p.Selections, l.selection())
		}
		l.policies = append(l.policies, p)
	}
	return l
}

func (l *list) chance(n int) bool { return l.IntN(n) == 0 }

func (l *list) lookUp(name string) *plan.Set { return l.sets[name] }

func (l *list) selection() (m []plan.Match) {
	if l.chance(3) {
		m = append(m, l.match(plan.FieldIIFName))
	}
	family := pick(l.Rand, []plan.Family{0, plan.IPv4, plan.IPv4, plan.IPv6})
	if family != 0 {
		src, dst := l.chance(2), l.chance(2)
		if src {
			m = append(m, l.match(dimSrc.field(family)))
		}
		if dst {
			m = append(m, l.match(dimDst.field(family)))
		}
		if !src && !dst {
			m = append(m, familyMatch(family)...)
		}
		if l.chance(8) {
			dscp := plan.FieldDSCP4
			if family == plan.IPv6 {
				dscp = plan.FieldDSCP6
			}
			m = append(m, l.match(dscp))
		}
	}
	switch l.IntN(4) {
	case 0:
		m = append(m, l.match(plan.FieldL4Proto))
	case 1, 2:
		p := plan.KeyFromUint8(pick(l.Rand, []uint8{6, 17}))
		m = append(m, plan.Match{Field: plan.FieldL4Proto, From: p, To: p})
		if l.chance(3) {
			m = append(m, l.match(plan.FieldSPort))
		}
		m = append(m, l.match(plan.FieldDPort))
	}
	return m
}

// match compares a field with one of everything: a value, an interval, a set, negated or not.
func (l *list) match(f plan.Field) plan.Match {
	m := plan.Match{Field: f, Not: l.chance(5)}
	var elements []plan.Element
	for range 1 + l.IntN(3)*l.IntN(3) {
		elements = append(elements, l.element(f.Type()))
	}
	slices.SortFunc(elements, func(a, b plan.Element) int { return a.From.Compare(b.From) })
	apart := elements[:1]
	for _, e := range elements[1:] {
		if apart[len(apart)-1].To.Compare(e.From) < 0 {
			apart = append(apart, e)
		}
	}
	if len(apart) == 1 && !l.chance(4) {
		m.From, m.To = apart[0].From, apart[0].To
		return m
	}
	if l.chance(10) { // looks at what no map does
		return plan.Match{Field: plan.FieldMark, Mask: 1, From: plan.KeyFromUint32(1), To: plan.KeyFromUint32(1)}
	}
	m.Set = fmt.Sprintf("set-%d", len(l.sets))
	l.sets[m.Set] = &plan.Set{Name: m.Set, Type: f.Type(), Elements: apart,
		Interval: slices.ContainsFunc(apart, func(e plan.Element) bool { return e.From != e.To })}
	return m
}

func (l *list) element(t plan.Type) plan.Element {
	switch t {
	case plan.TypeIPv4, plan.TypeIPv6:
		nets := nets4
		if t == plan.TypeIPv6 {
			nets = nets6
		}
		p := netip.MustParsePrefix(pick(l.Rand, nets))
		from := plan.KeyFromAddr(p.Addr())
		mask := plan.PrefixMask(t, p.Bits())
		to := from
		for i := range t.Width() {
			to[i] |= ^mask[i]
		}
		if to != from && l.chance(4) { // no prefix
			if l.chance(2) {
				from, _ = from.Next(t)
			}
			to, _ = to.Prev(t)
			if to.Compare(from) < 0 {
				to = from
			}
		}
		return plan.Element{From: from, To: to}
	case plan.TypeIfname:
		k := plan.KeyFromString(pick(l.Rand, ifaces))
		return plan.Element{From: k, To: k}
	case plan.TypePort:
		from := pick(l.Rand, []uint16{0, 53, 80, 443, 1000})
		to := from
		if l.chance(3) {
			to += uint16(l.IntN(1000))
		}
		return plan.Element{From: plan.KeyFromUint16(from), To: plan.KeyFromUint16(to)}
	}
	k := plan.KeyFromUint8(pick(l.Rand, []uint8{1, 6, 17, 50, 46}))
	return plan.Element{From: k, To: k}
}

// packetIn makes a packet with most fields at one end of the box's intervals, and others anywhere.
func (l *list) packetIn(one *box) walk.Packet {
	p := walk.Packet{
		IIF: pick(l.Rand, ifaces), Proto: pick(l.Rand, []uint8{1, 6, 17, 50}), SPort: uint16(l.IntN(1 << 16)),
		DPort: pick(l.Rand, []uint16{53, 80, 443, 1000}),
		DSCP:  pick(l.Rand, []uint8{0, 1, 6, 17, 46}), Mark: uint32(l.IntN(2)), CTState: walk.StateNew, NoPorts: l.chance(50),
	}
	family, nets := one.family, nets4
	if family == 0 {
		family = pick(l.Rand, plan.Families[:])
	}
	if family == plan.IPv6 {
		nets = nets6
	}
	p.Src, p.Dst = netip.MustParsePrefix(pick(l.Rand, nets)).Addr(), netip.MustParsePrefix(pick(l.Rand, nets)).Addr()
	for d := range dimCount {
		if one.fields.has(d) && !l.chance(20) {
			setField(&p, d, d.field(family).Type(), pick(l.Rand, []value{one.span(d).From, one.span(d).To}).key())
		}
	}
	return p
}

func setField(p *walk.Packet, d dim, t plan.Type, k plan.Key) {
	switch d {
	case dimIface:
		p.IIF = k.Text()
	case dimSrc:
		p.Src = k.Addr(t)
	case dimDst:
		p.Dst = k.Addr(t)
	case dimProto:
		p.Proto = uint8(k.Uint(t))
	case dimSPort:
		p.SPort = uint16(k.Uint(t))
	case dimDPort:
		p.DPort = uint16(k.Uint(t))
	}
}

// body is that of a policy, one rule.
func body(actions ...plan.Action) func() []plan.ChainRule {
	return func() []plan.ChainRule { return []plan.ChainRule{{Actions: actions}} }
}
