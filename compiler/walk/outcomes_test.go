package walk

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/race"
)

// somePacket is one around the places where the rules of router decide.
func somePacket(r *rand.Rand) Packet {
	pick := func(of ...string) netip.Addr { return netip.MustParseAddr(of[r.IntN(len(of))]) }
	return Packet{
		IIF: []string{"br-lan", "eth1"}[r.IntN(2)], Src: pick("10.0.0.9", "10.0.0.255", "10.1.1.77", "10.1.2.77", "10.2.0.0", "11.0.0.1"),
		Dst: pick("192.0.2.1", "192.0.2.2"), Proto: []uint8{6, 17, 47}[r.IntN(3)], DPort: []uint16{443, 5060, 5062}[r.IntN(3)],
		CTState: StateNew, CTMark: []uint32{0, 0x2000000}[r.IntN(2)], Mark: []uint32{0, 5, 0x1000005}[r.IntN(3)],
	}
}

// TestOutcomes: with everything known the only outcome is the walk's; where a field is not, the
// walk of each value is among them.
func TestOutcomes(t *testing.T) {
	e, err := New(router())
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	chains := []string{"pre", "classify", "icmp"}
	several := 0
	for i := range race.Cases(20_000) {
		p, chain := somePacket(r), chains[i%len(chains)]
		outcomes := func(unknown ...plan.Field) []Outcome {
			list, err := e.Outcomes(chain, &p, func(f plan.Field, _ uint32) bool { return slices.Contains(unknown, f) })
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		end := func(p Packet) Outcome {
			res, err := e.Walker().Walk(chain, &p)
			if err != nil {
				t.Fatal(err)
			}
			return Outcome{Verdict: res.Verdict, Mark: res.Mark, CTMark: res.CTMark}
		}
		if got := outcomes(); len(got) != 1 || got[0] != end(p) {
			t.Fatalf("%s: %+v ends in %+v, not %+v", chain, p, got, end(p))
		}
		blind := outcomes(plan.FieldDPort, plan.FieldIIFName, plan.FieldIPSAddr, plan.FieldL4Proto)
		several += min(len(blind)-1, 1)
		for range 10 {
			q := somePacket(r)
			p.DPort, p.IIF, p.Src, p.Proto = q.DPort, q.IIF, q.Src, q.Proto
			if want := end(p); !slices.Contains(blind, want) {
				t.Fatalf("%s: %+v may end in %+v, but not in %+v", chain, p, blind, want)
			}
		}
	}
	if several < 1000 {
		t.Errorf("only %d packets have several outcomes", several)
	}
}

// TestOutcomesOfBalance: any member may be chosen, and each is as good as the others.
func TestOutcomesOfBalance(t *testing.T) {
	e, err := New(router())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("any member", func(t *testing.T) {
		got, err := e.Outcomes("balance", &Packet{Src: netip.MustParseAddr("10.0.0.9"),
			Dst: netip.MustParseAddr("192.0.2.1"), CTState: StateNew},
			func(plan.Field, uint32) bool { return false })
		want := []Outcome{{Mark: 0x1000000, Chosen: true}, {CTMark: 0x2000000, Chosen: true}}
		if err != nil || len(got) != 2 || !slices.Contains(got, want[0]) || !slices.Contains(got, want[1]) {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("a chain that is not there has none", func(t *testing.T) {
		if _, err := e.Outcomes("nowhere", &Packet{}, nil); err == nil {
			t.Error("a chain that is not there has outcomes")
		}
	})
}
