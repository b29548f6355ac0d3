package explain

import (
	"net/netip"
	"slices"
	"strings"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/walk"
)

// runTimeLists finds the lists that get members while the policy is in force by the names of their
// sets.
func runTimeLists(doc *policy.Document) map[string]*policy.List {
	lists := map[string]*policy.List{}
	for i := range doc.Lists {
		if l := &doc.Lists[i]; l.RunTime() {
			for _, family := range plan.Families {
				lists[compiler.ListSet(l.Name, family)] = l
			}
		}
	}
	return lists
}

// unknownLists says which lists a packet was looked up in whose members are not known; empty if
// there are none.
func (x *Explainer) unknownLists(way *walk.Way) string {
	var names []string
	for _, set := range way.Unknown {
		if l := x.runTime[set]; l != nil && !slices.Contains(names, l.Name) {
			names = append(names, l.Name)
		}
	}
	switch len(names) {
	case 0:
		return ""
	case 1:
		return "the members of list " + names[0] + " are unknown here: the packet counts as not in it"
	}
	return "the members of lists " + strings.Join(names, ", ") + " are unknown here: the packet counts as not in them"
}

// byName says by which names a packet's addresses are in the lists that the policy that caught it
// looks into; empty if by none.
func (x *Explainer) byName(a *Answer, p *walk.Packet) string {
	i := slices.IndexFunc(x.doc.Policies, func(pol policy.Policy) bool { return pol.Name == a.By.Name })
	if a.By.Kind != ByPolicy || i < 0 || x.live.Domain == nil {
		return ""
	}
	var said []string
	look := func(items []policy.AddrItem, addr netip.Addr) {
		for _, item := range items {
			if item.List == "" || item.Not || !addr.IsValid() {
				continue
			}
			if name := x.live.Domain(item.List, addr); name != "" {
				said = append(said, addr.String()+" is in list "+item.List+" by the name "+name)
			}
		}
	}
	look(x.doc.Policies[i].Src, p.Src)
	look(x.doc.Policies[i].Dst, p.Dst)
	return strings.Join(said, "; ")
}

// isMember reports whether a list that gets members while the policy is in force has an address
// among those that are known.
func (x *Explainer) isMember(l *policy.List, a netip.Addr) bool {
	k := plan.KeyFromAddr(a)
	return slices.ContainsFunc(x.live.Facts.Members[compiler.ListSet(l.Name, plan.FamilyOf(a))], func(e plan.Element) bool {
		return e.From.Compare(k) <= 0 && k.Compare(e.To) <= 0
	})
}

// listAddr is the first address of an IP version (4, 6, or 0 for any) in a list, of what the policy
// says or of its known members.
func (x *Explainer) listAddr(name string, version int) (a netip.Addr, ok bool) {
	if a, ok := x.doc.ListAddr(name, version); ok {
		return a, true
	}
	for _, family := range plan.Families {
		if version != 0 && int(family) != version {
			continue
		}
		for _, e := range x.live.Facts.Members[compiler.ListSet(name, family)] {
			if first := e.From.Addr(family.AddrType()); !ok || first.Less(a) {
				a, ok = first, true
			}
		}
		if ok {
			return a, true
		}
	}
	return a, false
}
