package kernel

import (
	"fmt"
	"net/netip"
	"testing"

	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// TestRulesWithoutInside: without the rules by direction connections keep their uplink, with the
// bit and without it, and no rule asks for the bit or sets it. So a value with the bit can then
// stand for another uplink.
func TestRulesWithoutInside(t *testing.T) {
	for _, uplinks := range []int{3, 5} {
		t.Run(fmt.Sprint(uplinks), func(t *testing.T) {
			t.Parallel()
			p := movedPlan(t, uplinks, "")
			rules := noneFromInside(&p.Ruleset, p.Inside)
			for _, c := range rules.Chains {
				for _, r := range c.Rules {
					if asksFor(r, p.Inside) {
						t.Errorf("chain %s: %+v", c.Name, r)
					}
				}
			}
			e, err := walk.New(&rules)
			if err != nil {
				t.Fatal(err)
			}
			mark := markOf(t, p, "isp1")
			for _, bit := range []uint32{0, p.Inside} {
				got, err := e.Walker().Walk("prerouting", &walk.Packet{IIF: "br-lan", Src: netip.MustParseAddr("192.168.1.2"),
					Dst: netip.MustParseAddr("203.0.113.9"), Proto: 17, SPort: 1000, DPort: 443, CTMark: mark | bit,
					CTState: walk.StateEstablished, CTStatus: walk.StatusConfirmed})
				if err != nil {
					t.Fatal(err)
				}
				if got.Mark != mark || got.Verdict == walk.Dropped {
					t.Errorf("with bit %#x the packet has mark %#x, not %#x: %v", bit, got.Mark, mark, got.Verdict)
				}
			}
		})
	}
}

// asksFor reports whether a rule depends on a bit of the connection's mark alone, or of a value
// with it, or sets it.
func asksFor(r plan.ChainRule, bit uint32) bool {
	for _, m := range r.Matches {
		if m.Field == plan.FieldCTMark && (m.Mask == bit || m.From.Uint(plan.TypeMark)&bit != 0) {
			return true
		}
	}
	for _, a := range r.Actions {
		if set, ok := a.(plan.SetCTMark); ok && set.Value&bit != 0 {
			return true
		}
	}
	return false
}
