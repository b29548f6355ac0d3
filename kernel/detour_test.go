package kernel

import (
	"testing"

	"pbr/compiler/plan"
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
		{"no room", 0x3, 0x3, map[string]uint32{"a": 2, "b": 1, "c": 3}, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			was, want := claimsOf(numbersOf(tc.oldMask, old)), numbersOf(tc.mask, tc.want)
			between, full := detour([]owned{was}, want)
			if (between != nil) != tc.via || full != tc.full {
				t.Errorf("%s: by %+v, full %v", tc.name, between, full)
				return
			}
			if between == nil {
				return
			}
			for _, next := range []*plan.Plan{between, want} {
				r := &conntrack.Migration{Want: conntrack.MarksOf(next)}
				for _, n := range next.Numbers {
					if meansOther([]owned{was}, r, n) {
						t.Errorf("%s: %+v is another's in %+v", tc.name, n, was.Numbers)
					}
				}
				was = claimsOf(next)
			}
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
			numbersOf(0x7, map[string]uint32{"a": 6, "b": 2, "c": 3, "d": 1}), 1, true, false},
		{"the bit goes, and its marks are the same names' numbers", insideOf(0x7, 4, all),
			numbersOf(0x7, map[string]uint32{"a": 5, "b": 2, "c": 7, "d": 4}), 1, false, false},
		{"the bit comes to a full mask", numbersOf(0x7, map[string]uint32{"a": 7, "b": 6, "c": 5}),
			insideOf(0x7, 4, all), 2, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, full := stages([]owned{claimsOf(tc.earlier)}, tc.want)
			if len(list) != tc.plans || full != tc.full || (list[len(list)-1].Inside != 0) != tc.inside {
				t.Errorf("%d plans, full %v: %+v", len(list), full, list)
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
