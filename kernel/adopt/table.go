package adopt

import (
	"cmp"
	"net/netip"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// table is the plan's ruleset, ready for packets.
type table struct {
	evaluator *walk.Evaluator
	// in, out and post are the names of the base chains that mark, in their order; nat those that
	// translate sources.
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
		slices.SortStableFunc(list, func(a, b *plan.Chain) int { return cmp.Compare(a.Priority, b.Priority) })
		for _, c := range list {
			names = append(names, c.Name)
		}
		return names
	}
	return &table{e, chains("prerouting", "filter"), chains("output", "route"), chains("postrouting", "filter", "nat"), chains("postrouting", "nat")}, nil
}

// through takes a packet through chains, and returns everything that may become of it; what is
// dropped is left out.
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

// enter is what becomes of a packet when it arrives, leave when the router itself sends it.
func (t *table) enter(p *walk.Packet, unknown func(plan.Field, uint32) bool) []walk.Outcome {
	return t.through(t.in, p, unknown)
}

func (t *table) leave(p *walk.Packet, unknown func(plan.Field, uint32) bool) []walk.Outcome {
	return t.through(t.out, p, unknown)
}

func everythingKnown(plan.Field, uint32) bool { return false }

// someone are the addresses of a packet that stands for all of its IP version.
var someone = map[plan.Family][2]netip.Addr{
	plan.IPv4: {netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.AddrFrom4([4]byte{198, 51, 100, 1})},
	plan.IPv6: {netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")},
}

func somePacket(f plan.Family, oif string, mark uint32) *walk.Packet {
	return &walk.Packet{OIF: oif, Src: someone[f][0], Dst: someone[f][1], Proto: protoTCP, CTState: walk.StateNew, Mark: mark}
}

// translates reports whether the source of a new connection is translated that leaves by an
// interface with a mark.
func (t *table) translates(p *walk.Packet, oif string, mark uint32, fib func(plan.Field) uint32) bool {
	p.IIF, p.OIF, p.Mark, p.Fib = "", oif, mark, fib
	for _, o := range t.through(t.nat, p, everythingKnown) {
		if o.Masquerade || o.SNAT.IsValid() {
			return true
		}
	}
	return false
}

// staticSource is the address that the sources of connections get which leave by an interface;
// invalid if that is the interface's own, or none.
func (t *table) staticSource(oif string, f plan.Family) netip.Addr {
	for _, o := range t.through(t.nat, somePacket(f, oif, 0), everythingKnown) {
		if o.SNAT.IsValid() {
			return o.SNAT
		}
	}
	return netip.Addr{}
}
