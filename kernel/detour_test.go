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
