package compiler

import "pbr/compiler/plan"

// fewUplinks is up to how many interfaces are compared one by one: to look a name up in a set takes
// as long as three comparisons.
const fewUplinks = 3

// oneOf returns matches of which one holds for the interfaces, which are all that are in the set of
// that name. If they are not few, the only match looks into the set.
func oneOf(field plan.Field, set string, interfaces []plan.Element) (matches []plan.Match) {
	if len(interfaces) > fewUplinks {
		return when(inSet(field, set))
	}
	for _, e := range interfaces {
		matches = append(matches, between(field, e))
	}
	return matches
}
