package walk

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// members indexes what run-time sets hold.
func (e *Evaluator) members(known map[string][]plan.Element) (map[string]*set, error) {
	index := make(map[string]*set, len(known))
	for name, elements := range known {
		s := e.sets[name]
		if s == nil || !s.plan.RunTime {
			continue
		}
		sorted := slices.Clone(elements)
		sorting.Func(sorted, func(a, b plan.Element) int { return a.From.Compare(b.From) })
		x, err := newSet(&plan.Set{Name: name, Type: s.plan.Type, Interval: true, Elements: sorted})
		if err != nil {
			return nil, fmt.Errorf("members of set %s: %w", name, err)
		}
		index[name] = x
	}
	return index, nil
}

// Members tells a walker what run-time sets hold, by set; see Facts.Members.
func (w *Walker) Members(known map[string][]plan.Element) (err error) {
	w.members, err = w.e.members(known)
	return err
}

// isMember reports whether a run-time set holds a value. One whose members are not known counts as
// empty; of plan.SetOwnKnown nobody has to know: packets fare alike with and without.
func (w *Walker) isMember(s *set, n num) bool {
	known := w.members[s.plan.Name]
	if known != nil {
		return known.find(n) >= 0
	}
	if s.plan.Name != plan.SetOwnKnown && !slices.Contains(w.unknown, s.plan.Name) {
		w.unknown = append(w.unknown, s.plan.Name)
	}
	return false
}
