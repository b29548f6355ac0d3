package kernel

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/conntrack"
)

// numbersOf is a plan of nothing but numbers, by name; each has the table 100 + number.
func numbersOf(mask uint32, numbers map[string]uint32) *plan.Plan {
	p := &plan.Plan{Mask: mask}
	for name, n := range numbers {
		p.Numbers = append(p.Numbers, plan.Number{Name: name, Mark: spread(n, mask), Table: 100 + n})
	}
	plan.Sort(p)
	return p
}

// TestDetour: between two plans whose numbers stand for different things there is one whose numbers
// neither has.
func TestDetour(t *testing.T) {
	old := map[string]uint32{"a": 1, "b": 2}
	for _, tc := range []struct {
		name      string
		oldMask   uint32
		mask      uint32
		want      map[string]uint32
		via, full bool
	}{
		{"nothing changes", 0xff, 0xff, old, false, false},
		{"one more", 0xff, 0xff, map[string]uint32{"a": 1, "b": 2, "c": 3}, false, false},
		{"they change places", 0xff, 0xff, map[string]uint32{"a": 2, "b": 1}, true, false},
		{"the number of one that is gone", 0xff, 0xff, map[string]uint32{"b": 2, "c": 1}, true, false},
		{"another mask, the same tables", 0xff, 0xff00, old, false, false},
		{"another mask, tables change places", 0xff, 0xff00, map[string]uint32{"a": 2, "b": 1}, true, false},
		{"a mask that shares bits", 0xff, 0x7f8, map[string]uint32{"a": 1, "b": 2}, false, false},
		{"no room, but for the new one", 0x3, 0x3, map[string]uint32{"a": 2, "b": 1, "c": 3}, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			was, want := claimsOf(numbersOf(tc.oldMask, old)), numbersOf(tc.mask, tc.want)
			between, full := detour([]owned{was}, want)
			if (between != nil) != tc.via || full != tc.full {
				t.Errorf("%s: by an intermediate plan: %v, full: %v", tc.name, between != nil, full)
				return
			}
			if between == nil {
				return
			}
			if list, full := stages([]owned{was}, want); !full {
				checkUnambiguous(t, was, list...)
			}
		})
	}
}

// checkUnambiguous fails the test unless at each step every number means the same to both plans.
func checkUnambiguous(t *testing.T, was owned, list ...*plan.Plan) {
	t.Helper()
	for i, next := range list {
		m := newMeanings([]owned{was}, next)
		for _, n := range next.Numbers {
			if n.Mark != 0 && !m.fits(n) {
				t.Errorf("step %d: %s has mark 0x%x and table %d: another's in the plan before", i, n.Name, n.Mark, n.Table)
			}
		}
		was = claimsOf(next)
	}
}

// crowdPlan is the plan of a policy with so many tables, every third of them strict.
func crowdPlan(t *testing.T, prefix string, tables int) *plan.Plan {
	t.Helper()
	var b strings.Builder
	b.WriteString("[[uplink]]\nname = \"isp1\"\ninterface = \"wan1\"\ngateway = \"192.0.2.1\"\n[default]\nroutes = { uplink = \"isp1\" }\n")
	for i := range tables {
		fmt.Fprintf(&b, "[[table]]\nname = \"%s-%d\"\nstrict = %v\nroutes = { uplink = \"isp1\" }\n", prefix, i, i%3 == 0)
	}
	doc, problems := policy.Parse(fstest.MapFS{"p": {Data: []byte(b.String())}}, "p", "p")
	if doc == nil {
		t.Fatal(problems)
	}
	want, problems := compiler.Compile(doc, plan.HostFacts{}, nil)
	if want == nil {
		t.Fatal(problems)
	}
	return want
}

// TestCrowdsComeAndGo: an edit of many names at once finds its way as long as the mask has a value
// for each name of both plans, and at no step a number of one plan is another's in the next.
func TestCrowdsComeAndGo(t *testing.T) {
	for _, tc := range []struct{ from, to, most int }{
		{0, 100, 2}, {100, 200, 4}, {200, 100, 4}, {100, 0, 2}, {0, 240, 4}, {240, 10, 4}, {120, 240, 15}, {240, 241, 4},
		{124, 126, 4}, {126, 124, 4}, {252, 120, 8},
	} {
		t.Run(fmt.Sprintf("%d to %d", tc.from, tc.to), func(t *testing.T) {
			was, want := claimsOf(crowdPlan(t, "more", tc.from)), crowdPlan(t, "more", tc.to)
			list, full := stages([]owned{was}, want)
			if full && was.Inside != 0 {
				was.Marks = conntrack.Marks{Mask: was.Mask, Numbers: was.Plain()} // as dropInside does
				list, full = stages([]owned{was}, want)
			}
			if full || len(list) > tc.most {
				t.Errorf("%d plans, not %d at most; full %v", len(list), tc.most, full)
			}
			checkUnambiguous(t, was, list...)
		})
	}
}

// insideOf is numbersOf with a bit for connections from inside.
func insideOf(mask, inside uint32, numbers map[string]uint32) *plan.Plan {
	p := numbersOf(mask, numbers)
	p.Inside = inside
	for i := range p.Numbers {
		p.Numbers[i].Uplink = p.Numbers[i].Name
	}
	return p
}

// TestStages: marks with the bit are taken for their name's, whatever bits the next plan has, and
// where they fill the mask the plan without the bit comes first.
func TestStages(t *testing.T) {
	all := map[string]uint32{"a": 1, "b": 2, "c": 3}
	for _, tc := range []struct {
		name         string
		earlier      *plan.Plan
		want         *plan.Plan
		plans        int
		full, inside bool
	}{
		{"the bit comes, numbers stay", numbersOf(0x7, all), insideOf(0x7, 4, all), 1, false, true},
		{"an earlier number looks like one from inside", numbersOf(0xf, map[string]uint32{"a": 9, "b": 2}),
			insideOf(0xf, 8, map[string]uint32{"a": 1, "b": 2}), 2, false, true},
		{"the bit goes, and its marks are others' numbers", insideOf(0x7, 4, all),
			numbersOf(0x7, map[string]uint32{"a": 6, "b": 2, "c": 3, "d": 1}), 3, false, false},
		{"two change places in a full mask", numbersOf(0x3, all),
			numbersOf(0x3, map[string]uint32{"a": 2, "b": 1, "c": 3}), 1, true, false},
		{"the bit goes, and its marks are the same names' numbers", insideOf(0x7, 4, all),
			numbersOf(0x7, map[string]uint32{"a": 5, "b": 2, "c": 7, "d": 4}), 1, false, false},
		{"the bit comes to a full mask", numbersOf(0x7, map[string]uint32{"a": 7, "b": 6, "c": 5}),
			insideOf(0x7, 4, all), 2, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, full := stages([]owned{claimsOf(tc.earlier)}, tc.want)
			if len(list) != tc.plans || full != tc.full || (list[len(list)-1].Inside != 0) != tc.inside {
				t.Errorf("%d plans, full %v", len(list), full)
			}
		})
	}
}

// TestMarksOfInside: the journal has each number with and without the bit, and a number's successor
// has the bit only if it had it.
func TestMarksOfInside(t *testing.T) {
	was, want := claimsOf(insideOf(0xff, 0x80, map[string]uint32{"a": 1, "b": 2})),
		insideOf(0xf00, 0x800, map[string]uint32{"a": 3, "b": 1})
	r := &conntrack.Migration{Want: conntrack.MarksOf(want), Earlier: []conntrack.Marks{was.Marks}}
	for mark, next := range map[uint32]uint32{0x01: 0x300, 0x81: 0xb00, 0x02: 0x100, 0x82: 0x900, 0x83: 0, 0x80: 0} {
		if got, _, _ := r.Meaning(mark); got != next {
			t.Errorf("0x%x becomes 0x%x, not 0x%x", mark, got, next)
		}
	}
	if n := len(was.Plain()); n != 2 || len(was.Numbers) != 4 {
		t.Errorf("%d numbers, %d of them plain", len(was.Numbers), n)
	}
}
