//go:build linux

package nft

import (
	"testing"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// A rule of others that offloads connections, with and without those to port 53.
func TestOffloadsOfOthers(t *testing.T) {
	t.Parallel()
	port := func(n uint16) plan.Match {
		k := plan.KeyFromUint16(n)
		return plan.Match{Field: plan.FieldCTOrigDPort, From: k, To: k}
	}
	for _, c := range []struct {
		name   string
		match  plan.Match
		spares bool
	}{
		{"all but DNS", not(port(53)), true},
		{"all but the web", not(port(443)), false},
		{"DNS", port(53), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := wideEncoder()
			var w writer
			rule := plan.ChainRule{Matches: []plan.Match{is(plan.FieldL4Proto, u8(17)), c.match},
				Actions: []plan.Action{plan.Offload{Flowtable: "flows"}}}
			if err := e.ruleAttrs(&w, &rule); err != nil {
				t.Fatal(err)
			}
			walk := marksWalk{}
			for _, x := range splitExprs(attr(w.b, unix.NFTA_RULE_EXPRESSIONS)) {
				walk.step(&x)
			}
			if walk.flowtable != "flows" || walk.sparesDNS != c.spares {
				t.Errorf("%s: flowtable %q, spares DNS: %v", c.name, walk.flowtable, walk.sparesDNS)
			}
		})
	}
}
