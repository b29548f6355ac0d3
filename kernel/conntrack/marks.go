package conntrack

import "pbr/compiler/plan"

// Marks say whose the marks of one plan are.
type Marks struct {
	Mask uint32 `json:"mask"`
	// Numbers say whose each mark is, sorted by mark. Those of a plan without names have none.
	Numbers []plan.Number `json:"numbers,omitempty"`
}

// Number returns the number that has a mark other than 0.
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
