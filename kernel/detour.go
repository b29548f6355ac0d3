package kernel

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/conntrack"
)

// detour returns an intermediate plan to apply before want. It is want with other numbers in place
// of those that mean something else in an earlier plan. So at each step every number means the same
// to both plans, and no packet is mistaken for another's. It is nil if there are no such numbers.
// From the intermediate plan to want there may be some again, but fewer. full is true if there are
// any, and the mask has too few free values for that.
func detour(earlier []owned, want *plan.Plan) (between *plan.Plan, full bool) {
	s := newSearch(earlier, want)
	wrong := s.takePlaces(false)
	if len(wrong) == 0 {
		return nil, false
	}
	names, ok := s.others(wrong, lent)
	for limit := lent; !ok && limit <= inherited; limit++ {
		s = newSearch(earlier, want)
		names, ok = s.others(s.takePlaces(true), limit)
	}
	if !ok {
		return nil, true
	}
	return plan.Renumber(want, names), false
}

// search finds numbers for those names of a wanted plan that cannot have their own yet.
type search struct {
	*meanings
	want *plan.Plan
	// wanted are the marks of the wanted plan, used those that names of the intermediate plan have.
	wanted, used map[uint32]bool
	// before has the numbers of earlier plans by the name that they become.
	before map[string]plan.Number
	// moves means that the intermediate plan is nearer to the wanted one than the plan in force.
	moves bool
	// tried is the last value tried for each of the choices, table the highest table used.
	tried [choices]uint32
	table uint32
}

// Which values a name may get, from the best choice on.
const (
	// unused are those that neither plan uses.
	unused = iota
	// lent are the wanted plan's, if the name that they are for does not have them yet.
	lent
	// inherited are those of names that are gone: their connections lose the mark, now or later.
	inherited
	choices = inherited + 1
)

func newSearch(earlier []owned, want *plan.Plan) *search {
	s := &search{
		meanings: newMeanings(earlier, want), want: want,
		wanted: map[uint32]bool{}, used: map[uint32]bool{}, before: map[string]plan.Number{},
		moves: len(earlier) > 1, table: max(firstDetourTable, highestTable(earlier, want)),
	}
	for i := range earlier {
		s.remember(&earlier[i].Marks)
	}
	return s
}

// remember notes which numbers of an earlier plan names have: their own ones first, and those of
// the plan in force before those of plans that a killed apply has left.
func (s *search) remember(earlier *conntrack.Marks) {
	here := map[string]bool{}
	for _, n := range earlier.Plain() {
		is := s.of(earlier, n)
		s.moves = s.moves || is.name == "" && n.Mark != 0
		_, known := s.before[is.name]
		if n.Mark != 0 && is.name != "" && (!known || here[is.name] && n.Name == is.name) {
			s.before[is.name], here[is.name] = n, true
		}
	}
}

// firstDetourTable is above all tables that the compiler derives from names.
const firstDetourTable = 3_000_000

func highestTable(earlier []owned, want *plan.Plan) (table uint32) {
	for _, n := range want.Numbers {
		table = max(table, n.Table)
	}
	for _, o := range earlier {
		for _, id := range o.Tables {
			table = max(table, id)
		}
	}
	return table
}

// takePlaces gives their own numbers to the names that can have them, and returns the others. With
// newOnly set, names that the plan in force has are among the others: for the time of a step each
// that moves needs two values.
func (s *search) takePlaces(newOnly bool) (wrong []plan.Number) {
	for _, w := range s.want.Numbers {
		if w.Mark == 0 {
			continue
		}
		s.wanted[w.Mark] = true
		_, stays := s.kept(w)
		if moves := s.before[w.Name].Mark != w.Mark; !s.fits(w) || newOnly && stays && moves {
			wrong = append(wrong, w)
			continue
		}
		s.used[w.Mark] = true
		s.moves = s.moves || s.before[w.Name].Mark != w.Mark
	}
	return wrong
}

// others gives numbers to the names that cannot have their own. Those that the plan in force has
// keep theirs if no unused value is left, until what is in their way has moved; the others come
// first, and their choice goes up to worst. ok is false if there are too few values.
func (s *search) others(wrong []plan.Number, worst int) (names map[string]plan.Number, ok bool) {
	names = map[string]plan.Number{}
	var stay []plan.Number
	for _, w := range wrong {
		if _, can := s.kept(w); can {
			stay = append(stay, w)
		} else if names[w.Name], ok = s.give(w, worst); !ok {
			return nil, false
		}
	}
	s.moves = s.moves || len(names) > 0
	for _, w := range stay {
		names[w.Name], _ = s.kept(w)
		if !s.inTheWay(names[w.Name]) {
			continue
		}
		if next, moves := s.give(w, unused); moves {
			names[w.Name], s.moves = next, true
		}
	}
	for i := 0; i < len(stay) && !s.moves; i++ {
		if w := stay[i]; s.inTheWay(names[w.Name]) {
			names[w.Name], s.moves = s.give(w, lent)
		}
	}
	return names, s.moves
}

// kept returns the number that a name has in the plan in force; ok is false if it has none, or one
// that the wanted plan's mask cannot have.
func (s *search) kept(w plan.Number) (n plan.Number, ok bool) {
	had, ok := s.before[w.Name]
	w.Mark, w.Table = had.Mark, had.Table
	return w, ok && w.Mark&^s.want.NumberMask() == 0 && s.fits(w)
}

// inTheWay reports whether the wanted plan has this mark or table.
func (s *search) inTheWay(n plan.Number) bool {
	return s.wanted[n.Mark] || slices.ContainsFunc(s.want.Numbers, func(w plan.Number) bool { return w.Table == n.Table })
}

// give returns a number for a name by the best choice that there is, worst or better; ok is false
// if there is none.
func (s *search) give(w plan.Number, worst int) (n plan.Number, ok bool) {
	for choice := range worst + 1 {
		if w.Mark, ok = s.value(choice); ok {
			s.used[w.Mark] = true
			s.table++
			w.Table = s.table
			return w, true
		}
	}
	return w, false
}

// value returns the next mark of a choice.
func (s *search) value(choice int) (mark uint32, ok bool) {
	mask := s.want.NumberMask()
	values := capacity(mask)
	for s.tried[choice] < values {
		s.tried[choice]++
		mark = spread(values+1-s.tried[choice], mask)
		if !s.used[mark] && (choice != unused || !s.wanted[mark]) && s.free(mark, choice == inherited) {
			return mark, true
		}
	}
	return 0, false
}

// spread puts the low bits of n into the bits of mask, lowest first.
func spread(n, mask uint32) (v uint32) {
	for ; mask != 0 && n != 0; mask, n = mask&(mask-1), n>>1 {
		if n&1 != 0 {
			v |= mask & -mask
		}
	}
	return v
}
