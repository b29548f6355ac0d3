package conntrack

import (
	"fmt"
	"testing"

	"pbr/compiler/plan"
)

// numbered is a share with these marks under a mask.
func numbered(mask uint32, marks map[string]uint32) Marks {
	o := Marks{Mask: mask}
	for name, mark := range marks {
		o.Numbers = append(o.Numbers, plan.Number{Name: name, Mark: mark})
	}
	return o
}

func TestStaleMarks(t *testing.T) {
	const mask, wide = 0x00ff0000, 0xff000000
	old := numbered(mask, map[string]uint32{"isp1": 0x010000, "isp22": 0x220000, "isp23": 0x230000, "isp24": 0x240000,
		"isp5/strict": 0x050000, "isp6": 0x060000})
	change := func(bits, mask uint32, change bool) string {
		if !change {
			return "as it is"
		}
		return fmt.Sprintf("%x/%x", bits, mask)
	}
	for name, tc := range map[string]struct {
		want    Marks
		earlier []Marks
		// before and after are the changes of marks.
		before, after map[uint32]string
	}{
		"a number goes to another name, and that one's is free": {
			want:    numbered(mask, map[string]uint32{"isp1": 0x010000, "isp23": 0x220000, "isp24": 0x240000, "isp5": 0x550000}),
			earlier: []Marks{old},
			before: map[uint32]string{0x7: "as it is", 0x010007: "as it is", 0x220007: "0/ff0000",
				0x230007: "as it is", 0x060007: "as it is", 0x770007: "as it is"},
			after: map[uint32]string{0x7: "as it is", 0x010007: "as it is", 0x220007: "as it is", 0x230007: "220000/ff0000",
				0x060007: "0/ff0000", 0x050007: "550000/ff0000", 0x770007: "as it is"},
		},
		"strict stays strict when nothing moves back any more": {
			want: numbered(mask, map[string]uint32{"isp7": 0x700000, "isp7/strict": 0x710000}),
			earlier: []Marks{numbered(mask, map[string]uint32{"isp7": 0x700000, "isp7/strict-fallback": 0x720000,
				"isp7/fallback": 0x730000})},
			before: map[uint32]string{0x720000: "as it is", 0x730000: "as it is"},
			after:  map[uint32]string{0x720000: "710000/ff0000", 0x730000: "700000/ff0000"},
		},
		"two change places": {
			want:    numbered(mask, map[string]uint32{"isp22": 0x230000, "isp23": 0x220000}),
			earlier: []Marks{old},
			before:  map[uint32]string{0x220000: "0/ff0000", 0x230000: "0/ff0000", 0x010000: "as it is"},
			after:   map[uint32]string{0x220000: "as it is", 0x230000: "as it is", 0x010000: "0/ff0000"},
		},
		"another mask": {
			want:    numbered(wide, map[string]uint32{"isp1": 0x01000000, "isp22": 0x22000000}),
			earlier: []Marks{old},
			before: map[uint32]string{0x010007: "as it is", 0x01010007: "as it is", 0x55220007: "as it is",
				0x230007: "as it is", 0x22000000: "as it is"},
			after: map[uint32]string{0x01010007: "1000000/ffff0000", 0x010007: "1000000/ffff0000",
				0x230007: "0/ffff0000", 0x22000000: "as it is"},
		},
		"an earlier one that was overtaken": {
			want:    numbered(mask, map[string]uint32{"isp23": 0x220000}),
			earlier: []Marks{numbered(mask, map[string]uint32{"isp23": 0x220000}), old},
			before:  map[uint32]string{0x220000: "as it is", 0x230000: "as it is"},
			after:   map[uint32]string{0x220000: "as it is", 0x230000: "220000/ff0000", 0x010000: "0/ff0000"},
		},
		"without names": {
			want:    numbered(mask, map[string]uint32{"isp23": 0x220000}),
			earlier: []Marks{{Mask: mask, Numbers: []plan.Number{{Mark: 0x220000}, {Mark: 0x230000}}}},
			before:  map[uint32]string{0x220000: "as it is"},
			after:   map[uint32]string{0x220000: "as it is", 0x230000: "0/ff0000"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Migration{Want: tc.want, Earlier: tc.earlier}
			for mark, want := range tc.before {
				if got := change(r.Before(mark)); got != want {
					t.Errorf("%s: before, mark %x becomes %s, not %s", name, mark, got, want)
				}
			}
			stale := map[uint32]bool{}
			for mask, marks := range r.Stale() {
				for _, m := range marks {
					stale[m&mask] = true
				}
			}
			for mark, want := range tc.after {
				if got := change(r.After(mark)); got != want {
					t.Errorf("%s: after, mark %x becomes %s, not %s", name, mark, got, want)
				}
				found := false
				for _, o := range tc.earlier {
					found = found || stale[mark&o.Mask]
				}
				if want != "as it is" && !found {
					t.Errorf("%s: connections with mark %x are not looked for", name, mark)
				}
			}
		})
	}
}

// Nothing is looked for when every mark is its name's still.
func TestNoStaleMarks(t *testing.T) {
	one := numbered(0xff, map[string]uint32{"isp1": 1, "isp2": 2})
	more := numbered(0xff, map[string]uint32{"isp1": 1, "isp2": 2, "isp3": 3})
	if stale := (&Migration{Want: more, Earlier: []Marks{one}}).Stale(); len(stale) != 0 {
		t.Errorf("looks for %x", stale)
	}
}
