package compiler

import (
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// A list that gets members while the policy is in force is a run-time set for each IP version,
// which policies look up in their place. What the policy file says is in such a list stands in a
// set of its own, so that an element is either the plan's or a member.

// ListSet is plan.ListSet.
func ListSet(list string, family plan.Family) string { return plan.ListSet(list, family) }

// fixedSet names the set with the entries of a run-time list that come from the policy. No list's
// name has a slash.
func fixedSet(list string, family plan.Family) string {
	return "list-" + list + "/fixed-" + familySuffix(family)
}

// listSets returns the sets of a list that have addresses of the family; none if it has none.
func (c *classifier) listSets(list string, family plan.Family) (sets []string) {
	for _, name := range []string{ListSet(list, family), fixedSet(list, family)} {
		if c.sets[name] != nil {
			sets = append(sets, name)
		}
	}
	return sets
}

// addListSets adds the sets of the lists that a policy uses, and of all run-time lists: those can
// be filled before a policy uses them.
func (c *classifier) addListSets() {
	used := map[string]bool{}
	for i := range c.doc.Policies {
		for _, items := range [][]policy.AddrItem{c.doc.Policies[i].Src, c.doc.Policies[i].Dst} {
			for _, a := range items {
				used[a.List] = true
			}
		}
	}
	for i := range c.doc.Lists {
		l := &c.doc.Lists[i]
		name := ListSet
		if l.RunTime() {
			c.addRunTimeSets(l)
			name = fixedSet
		}
		if used[l.Name] {
			c.addListSet(l, name)
		}
	}
}

// elementsOfMember is for how many elements of a set with intervals a member needs room: n ranges
// that overlap are up to 2n-1 that do not, and kernels count the end of an interval with its
// beginning.
const elementsOfMember = 4

// addRunTimeSets adds the sets of members. Only pbr lists adds prefixes: single addresses are found
// by a hash.
func (c *classifier) addRunTimeSets(l *policy.List) {
	for _, family := range plan.Families {
		s := plan.Set{
			Name: ListSet(l.Name, family), Type: fieldsOf(family).src.Type(), RunTime: true, Interval: l.Dynamic() != nil,
			Size: uint32(l.Size()), Comment: "list " + l.Name,
		}
		if s.Interval {
			s.Size *= elementsOfMember
		}
		c.sets[s.Name] = &s
		c.runTime = append(c.runTime, s.Name)
	}
}

// addListSet adds the sets of the entries that the policy knows, under the names that name gives
// them.
func (c *classifier) addListSet(l *policy.List, name func(list string, family plan.Family) string) {
	for _, family := range plan.Families {
		if elements := elementsOf(l.Ranges, family); len(elements) > 0 {
			c.addSet(plan.Set{Name: name(l.Name, family), Type: fieldsOf(family).src.Type(), Comment: "list " + l.Name, Elements: elements})
		}
	}
}

// elementsOf returns the ranges of a family as elements. Lists may be large: they are counted
// first.
func elementsOf(ranges []policy.Range, family plan.Family) []plan.Element {
	n := 0
	for i := range ranges {
		if plan.FamilyOf(ranges[i].From) == family {
			n++
		}
	}
	elements := make([]plan.Element, 0, n)
	for i := range ranges {
		if r := &ranges[i]; plan.FamilyOf(r.From) == family {
			elements = append(elements, plan.Element{From: plan.KeyFromAddr(r.From), To: plan.KeyFromAddr(r.To)})
		}
	}
	return elements
}

// addRunTimeSets adds the run-time sets that no rule looks into; the others are there.
func (out *classification) addRunTimeSets(c *classifier) {
	for _, name := range c.runTime {
		if !slices.ContainsFunc(out.sets, func(s plan.Set) bool { return s.Name == name }) {
			out.sets = append(out.sets, *c.sets[name])
		}
	}
}
