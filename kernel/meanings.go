package kernel

import (
	"math/bits"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
)

// meaning is what a number of an earlier plan is in the wanted one.
type meaning struct {
	// name is empty if there is nothing like it any more.
	name string
	// inside means that its connections are known to be from inside.
	inside bool
	// strict means that packets of a number that is gone must not use another uplink.
	strict bool
}

// meanings has what the marks and tables of earlier plans mean.
type meanings struct {
	*conntrack.Migration
	plans  []pastMarks
	tables map[uint32][]meaning
	// inside means that some of the plans has the inside bit.
	inside bool
}

// pastMarks are the marks of one earlier plan.
type pastMarks struct {
	mask  uint32
	marks map[uint32]meaning
	// seen has them by what the wanted plan's mask leaves of them.
	seen map[uint32][]meaning
}

func newMeanings(earlier []owned, want *plan.Plan) *meanings {
	m := &meanings{Migration: &conntrack.Migration{Want: conntrack.MarksOf(want)}, tables: map[uint32][]meaning{}, inside: want.Inside != 0}
	for i := range earlier {
		o := &earlier[i].Marks
		m.inside = m.inside || o.Inside != 0
		p := pastMarks{o.Mask, map[uint32]meaning{}, map[uint32][]meaning{}}
		for _, n := range o.Numbers {
			is := m.of(o, n)
			m.tables[n.Table] = append(m.tables[n.Table], is)
			if n.Mark != 0 {
				p.marks[n.Mark] = is
				p.seen[n.Mark&want.Mask] = append(p.seen[n.Mark&want.Mask], is)
			}
		}
		m.plans = append(m.plans, p)
	}
	return m
}

// of returns the meaning of an earlier plan's number.
func (m *meanings) of(o *conntrack.Marks, n plan.Number) meaning {
	next, has := m.Want.Number(m.Successor(o.Mask, n))
	if !has {
		return meaning{strict: n.IsVariant()}
	}
	return meaning{name: next.Name, inside: next.Inside}
}

// each lists the meanings of the earlier marks that look like a mark under the wanted plan's mask,
// or like which it looks under theirs.
func (m *meanings) each(mark uint32) (list []meaning) {
	for _, p := range m.plans {
		if is, has := p.marks[mark&p.mask]; has {
			list = append(list, is)
		}
		list = append(list, p.seen[mark]...)
	}
	return list
}

// fits reports whether neither the marks nor the table of a number can be mistaken for those of
// something else in an earlier plan.
func (m *meanings) fits(n plan.Number) bool {
	for i, mark := range m.Want.Of(n) {
		is := meaning{name: n.Name, inside: i > 0}
		if slices.ContainsFunc(m.each(mark), func(x meaning) bool { return x != is }) {
			return false
		}
	}
	return !slices.ContainsFunc(m.tables[n.Table], func(x meaning) bool { return x.name != n.Name })
}

// free reports whether no earlier plan uses a mark; with gone set, those count as free whose name
// is gone and that are not strict. Marks that may have a bit besides are left alone then.
func (m *meanings) free(mark uint32, gone bool) bool {
	for _, mark := range m.Want.Of(plan.Number{Mark: mark}) {
		for _, is := range m.each(mark) {
			if !gone || m.inside || is.name != "" || is.strict {
				return false
			}
		}
	}
	return true
}

// capacity is how many values numbers have under a mask, as far as it matters.
func capacity(mask uint32) uint32 { return uint32(1)<<min(bits.OnesCount32(mask), 20) - 1 }
