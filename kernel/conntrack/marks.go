package conntrack

import (
	"cmp"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// Marks are the ct marks of one plan, with the names that they stand for.
type Marks struct {
	Mask uint32 `json:"mask"`
	// Inside is the plan's.
	Inside uint32 `json:"inside,omitempty"`
	// Numbers has the name of each mark, sorted by mark. A plan without names has none. A number
	// whose connections can have been opened from inside is there twice, with and without the bit
	// for that.
	Numbers []plan.Number `json:"numbers,omitempty"`
}

// MarksOf returns the marks of a plan.
func MarksOf(p *plan.Plan) Marks {
	m := Marks{Mask: p.Mask, Inside: p.Inside}
	for _, n := range p.Numbers {
		m.Add(n)
	}
	m.Sort()
	return m
}

// Add adds a number with its marks.
func (m *Marks) Add(n plan.Number) {
	m.Numbers = append(m.Numbers, n)
	if marks := m.Of(n); len(marks) > 1 {
		n.Mark, n.Inside = marks[1], true
		m.Numbers = append(m.Numbers, n)
	}
}

// Of returns the marks that connections of a number have: without the bit for those opened from
// inside, and with it.
func (m *Marks) Of(n plan.Number) []uint32 {
	if m.Inside == 0 || n.Mark == 0 {
		return []uint32{n.Mark}
	}
	return []uint32{n.Mark, n.Mark | m.Inside}
}

// Sort puts the numbers in their order.
func (m *Marks) Sort() {
	sorting.Func(m.Numbers, func(a, b plan.Number) int {
		return cmp.Or(cmp.Compare(a.Mark, b.Mark), cmp.Compare(a.Name, b.Name))
	})
}

// Plain returns each number once, as a plan has them.
func (m *Marks) Plain() []plan.Number {
	return slices.DeleteFunc(slices.Clone(m.Numbers), func(n plan.Number) bool { return n.Inside })
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
