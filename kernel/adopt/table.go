package adopt

import (
	"cmp"
	"net/netip"
	"slices"

	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
	"pbr/compiler/sorting"
	"pbr/compiler/walk"
)

// table is the plan's ruleset, ready to evaluate packets.
type table struct {
	evaluator *walk.Evaluator
	// in, out and post are the names of the base chains that set marks, in their order; nat has
	// those that translate sources.
	in, out, post, nat []string
}

func newTable(rs *plan.Ruleset) (*table, error) {
	e, err := walk.New(rs)
	if err != nil {
		return nil, err
	}
	chains := func(hook string, kinds ...string) (names []string) {
		var list []*plan.Chain
		for i := range rs.Chains {
			if c := &rs.Chains[i]; slices.Contains(kinds, c.Kind) && c.Hook == hook {
				list = append(list, c)
			}
		}
		sorting.Func(list, func(a, b *plan.Chain) int { return cmp.Compare(a.Priority, b.Priority) })
		for _, c := range list {
			names = append(names, c.Name)
		}
		return names
	}
	return &table{e, chains("prerouting", "filter"), chains("output", "route"), chains("postrouting", "filter", "nat"),
		chains("postrouting", "nat")}, nil
}

// through takes a packet through chains and returns every possible outcome except drops.
func (t *table) through(chains []string, p *walk.Packet, unknown func(plan.Field, uint32) bool) []walk.Outcome {
	now := []walk.Outcome{{Mark: p.Mark, CTMark: p.CTMark}}
	for _, chain := range chains {
		var next []walk.Outcome
		for _, o := range now {
			q := *p
			q.Mark, q.CTMark = o.Mark, o.CTMark
			list, _ := t.evaluator.Outcomes(chain, &q, unknown) // the chain is there
			for _, n := range list {
				n.Chosen = n.Chosen || o.Chosen
				if n.Verdict != walk.Dropped {
					next = append(next, n)
				}
			}
		}
		now = next
	}
	return now
}

// enter returns the outcomes of a packet that arrives, leave those of a packet that the router
// sends.
func (t *table) enter(p *walk.Packet, unknown func(plan.Field, uint32) bool) []walk.Outcome {
	return t.through(t.in, p, unknown)
}

func (t *table) leave(p *walk.Packet, unknown func(plan.Field, uint32) bool) []walk.Outcome {
	return t.through(t.out, p, unknown)
}

func everythingKnown(plan.Field, uint32) bool { return false }

// someone has an address that stands for all addresses of its IP version.
var someone = map[plan.Family][2]netip.Addr{
	plan.IPv4: {netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.AddrFrom4([4]byte{198, 51, 100, 1})},
	plan.IPv6: {netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")},
}

func somePacket(f plan.Family, oif string, mark uint32) *walk.Packet {
	return &walk.Packet{OIF: oif, Src: someone[f][0], Dst: someone[f][1], Proto: ipproto.TCP, CTState: walk.StateNew, Mark: mark}
}

// translates reports whether the rules translate the source of a new connection that leaves through
// an interface with a mark.
func (t *table) translates(p *walk.Packet, oif string, mark uint32, fib func(plan.Field) uint32) bool {
	p.IIF, p.OIF, p.Mark, p.Fib = "", oif, mark, fib
	for _, o := range t.through(t.nat, p, everythingKnown) {
		if o.Masquerade || o.SNAT.IsValid() {
			return true
		}
	}
	return false
}

// staticSource returns the address that new connections get as their source when they leave through
// an interface; invalid if that is the interface's own address, or if they keep theirs.
func (t *table) staticSource(oif string, f plan.Family) netip.Addr {
	for _, o := range t.through(t.nat, somePacket(f, oif, 0), everythingKnown) {
		if o.SNAT.IsValid() {
			return o.SNAT
		}
	}
	return netip.Addr{}
}
