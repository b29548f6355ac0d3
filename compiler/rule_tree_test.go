package compiler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// manyTables compiles a policy of so many tables, each with a number of its own, and returns its
// IPv4 rules.
func manyTables(t *testing.T, settings string, marks []uint32) []plan.Rule {
	t.Helper()
	var b strings.Builder
	b.WriteString("[pbr]\noffload = \"off\"\n" + settings +
		"\n[[uplink]]\nname = \"isp\"\ninterface = \"wan1\"\ngateway = \"192.0.2.1\"\n[default]\nroutes = { uplink = \"isp\" }\n")
	for i, mark := range marks {
		fmt.Fprintf(&b, "[[table]]\nname = \"t%d\"\nroutes = { uplink = \"isp\" }\n", i)
		if mark != 0 {
			fmt.Fprintf(&b, "mark = %#x\n", mark)
		}
	}
	doc, ds := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(b.String())}}, "pbr.toml", "pbr.toml")
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	p, ds := Compile(doc, plan.HostFacts{}, nil)
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	return slices.DeleteFunc(p.Rules, func(r plan.Rule) bool { return r.Family != plan.IPv4 })
}

// walk follows the rules that have to do with marks, as fib_rules_lookup (net/core/fib_rules.c)
// does: a goto whose priority no rule has does nothing. It returns the table that a packet comes to
// and how many rules it met. A table in empty has no route.
func walk(rules []plan.Rule, mark uint32, empty uint32) (table uint32, met int) {
	for i := 0; i < len(rules); i++ {
		r := &rules[i]
		met++
		if mark&r.MarkMask != r.Mark || r.SuppressPrefix != 0 {
			continue
		}
		switch r.Action {
		case plan.ActLookup:
			if r.Table != empty {
				return r.Table, met
			}
		case plan.ActGoto:
			if to := slices.IndexFunc(rules, func(x plan.Rule) bool { return x.Priority == r.Goto }); to >= 0 {
				i = to - 1
			}
		}
	}
	return 0, met
}

// isSkip reports whether it is a rule of the tree that steers nothing.
func isSkip(r plan.Rule) bool { return r.Action == plan.ActGoto || r.Action == plan.ActNop }

// With the tree, and with any part of it, every packet comes to the table that it comes to without.
func TestMarkTreeChangesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 2))
	for _, c := range []struct {
		settings string
		tables   int
		met      int // at most, by a packet whose table has a route
	}{
		{"", 30, 36}, {"", 60, 34}, {"", 120, 30}, {"", 230, 30},
		{"mark-mask = 0x5a5a5a00", 500, 40}, {"mark-mask = 0x3f\nrule-priority = 700", 60, 34},
	} {
		t.Run(fmt.Sprintf("%d tables %s", c.tables, c.settings), func(t *testing.T) {
			rules := manyTables(t, c.settings, make([]uint32, c.tables))
			flat := slices.DeleteFunc(slices.Clone(rules), isSkip)
			if (len(flat) < len(rules)) != (c.tables > fewMarks) {
				t.Errorf("%d tables: %d rules, %d of them only skip", c.tables, len(rules), len(rules)-len(flat))
			}
			for part := range 6 {
				some := slices.DeleteFunc(slices.Clone(rules),
					func(r plan.Rule) bool { return isSkip(r) && part > 0 && rng.IntN(6) < part })
				for _, r := range append(slices.Clone(flat), plan.Rule{}) {
					// The bits of others mean nothing. Some find no route in their table.
					mark := r.Mark | rng.Uint32()&^r.MarkMask
					if r.MarkMask == 0 {
						mark = 0
					}
					for _, empty := range []uint32{0, r.Table} {
						want, _ := walk(flat, mark, empty)
						got, met := walk(some, mark, empty)
						if got != want || part == 0 && empty == 0 && met > c.met {
							t.Fatalf("%s %d tables, mark %#x, table %d empty: comes to table %d by %d rules, not to %d",
								c.settings, c.tables, mark, empty, got, met, want)
						}
					}
				}
			}
		})
	}
}

// One table more adds its rule, and tests; no other rule moves. The number that takes the inside
// bit changes the mask of those for numbers.
func TestMarkTreeGrowsInPlace(t *testing.T) {
	var marks []uint32
	var before []plan.Rule
	const withoutBit = 1<<7 - 1 // tables, and one uplink
	for n := range uint32(150) {
		marks = append(marks, (n+1)<<24)
		rules := manyTables(t, "", marks)
		for _, r := range before {
			if n+1 == withoutBit && r.Mark != 0 && r.Action == plan.ActLookup {
				r.MarkMask = policy.DefaultMarkMask
			}
			if !slices.Contains(rules, r) {
				t.Fatalf("with %d tables rule %+v is gone", n+1, r)
			}
		}
		before = rules
	}
	for _, r := range before {
		if r.Action == plan.ActGoto &&
			(r.Goto <= r.Priority || !slices.ContainsFunc(before, func(x plan.Rule) bool { return x.Priority == r.Goto })) {
			t.Errorf("no such place: %+v", r)
		}
		if isSkip(r) && (r.Priority < policy.DefaultRulePriority+priorityMark || r.Priority > policy.DefaultRulePriority+priorityTreeEnd) {
			t.Errorf("out of place: %+v", r)
		}
	}
}
