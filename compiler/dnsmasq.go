package compiler

import (
	"maps"
	"slices"
	"strings"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// NameSets are the run-time sets that the addresses of a name belong in.
type NameSets struct {
	// Name is in lower case, without a closing dot. It stands for all names below it that have no
	// NameSets of their own.
	Name string
	Sets []SetOf
}

// SetOf is a set of table inet pbr, and the IP version of its addresses.
type SetOf struct {
	Name   string
	Family plan.Family
}

// Names returns the names of all lists of domains, sorted, each with its sets and those of all
// names above it: who looks names up by the longest that fits needs no other.
func Names(doc *policy.Document) []NameSets {
	lists := map[string][]string{}
	for i := range doc.Lists {
		l := &doc.Lists[i]
		for _, s := range l.DomainSources() {
			for _, name := range s.Names {
				if !slices.Contains(lists[name], l.Name) {
					lists[name] = append(lists[name], l.Name)
				}
			}
		}
	}
	out := make([]NameSets, 0, len(lists))
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		n := NameSets{Name: name}
		var all []string
		for above, more := name, true; more; _, above, more = strings.Cut(above, ".") {
			all = append(all, lists[above]...)
		}
		slices.Sort(all)
		for _, list := range slices.Compact(all) {
			for _, family := range plan.Families {
				n.Sets = append(n.Sets, SetOf{plan.ListSet(list, family), family})
			}
		}
		out = append(out, n)
	}
	return out
}
