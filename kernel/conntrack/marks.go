package conntrack

import "pbr/compiler/plan"

// Marks are the marks of one plan, with the names that they stand for.
type Marks struct {
	Mask uint32 `json:"mask"`
	// Numbers has the name of each mark, sorted by mark. A plan without names has none.
	Numbers []plan.Number `json:"numbers,omitempty"`
}

// Number returns the number that a mark stands for; mark must not be 0.
func (m *Marks) Number(mark uint32) (plan.Number, bool) {
	if mark == 0 {
		return plan.Number{}, false
	}
	for _, n := range m.Numbers {
		if n.Mark == mark {
			return n, true
		}
	}
	return plan.Number{}, false
}

// Values lists the marks, without 0.
func (m *Marks) Values() (out []uint32) {
	for _, n := range m.Numbers {
		if n.Mark != 0 {
			out = append(out, n.Mark)
		}
	}
	return out
}
