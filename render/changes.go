package render

import (
	"fmt"

	"pbr/compiler/plan"
)

// Change is one change for programs: what happens to one object, and the same in English. Its type
// is one of several, by Kind.
type Change any

// changeHead begins every change.
type changeHead struct {
	// Op is "add", "remove", "replace", "change" (a part of it), "rebuild" or "set".
	Op string `json:"op"`
	// Kind is "sysctl", "route", "rule", "counter", "flowtable", "set", "chain", "object" or
	// "connections".
	Kind string `json:"kind"`
	// Text says the same for people.
	Text string `json:"text"`
}

type routeChange struct {
	changeHead
	routeView
	// Was is the replaced object.
	Was *routeView `json:"was,omitempty"`
}

type ruleChange struct {
	changeHead
	ruleView
}

type sysctlChange struct {
	changeHead
	Path  string `json:"path"`
	Value string `json:"value"`
	Was   string `json:"was,omitempty"`
}

// namedChange is of an object of the nftables table. Added and Removed count its parts: elements of
// a set, rules of a chain, interfaces of a flowtable.
type namedChange struct {
	changeHead
	Name    string `json:"name"`
	Added   *int   `json:"added,omitempty"`
	Removed *int   `json:"removed,omitempty"`
}

// countedChange is of many connections.
type countedChange struct {
	changeHead
	Count int `json:"count"`
}

// ChangesOf lists what c does, object by object, in apply's order. plans name the routing tables.
func ChangesOf(c *plan.Changes, plans ...*plan.Plan) []Change {
	names := map[uint32]string{}
	for _, p := range plans {
		for _, n := range p.Numbers {
			names[n.Table] = n.Name
		}
	}
	out := []Change{}
	for _, s := range c.Sysctls {
		out = append(out, SysctlChanged("set", s))
	}
	for _, r := range c.Routes {
		out = append(out, changeOfRoute(r, names))
	}
	for _, r := range c.Rules {
		out = append(out, changeOfRule(r, names))
	}
	for _, x := range c.Counters {
		out = append(out, changeOfNamed("counter", changeOp(x.Have == nil, x.Want == nil, false), first(x.Want, x.Have).Name, 0, 0))
	}
	for _, x := range c.Flowtables {
		op := changeOp(x.Have == nil, x.Want == nil, x.Rebuild)
		out = append(out, changeOfNamed("flowtable", op, first(x.Want, x.Have).Name, len(x.Add), len(x.Remove)))
	}
	for _, x := range c.Sets {
		op := changeOp(x.Have == nil, x.Want == nil, x.Rebuild)
		out = append(out, changeOfNamed("set", op, first(x.Want, x.Have).Name, len(x.Add)+len(x.AddTuples),
			len(x.Remove)+len(x.RemoveTuples)))
	}
	for _, x := range c.Chains {
		added, removed := editedRules(x.Edits)
		op := changeOp(x.Have == nil, x.Want == nil, x.Rebuild)
		out = append(out, changeOfNamed("chain", op, first(x.Want, x.Have).Name, added, removed))
	}
	for _, f := range c.Foreign {
		out = append(out, namedChange{changeHead: changeHead{"remove", "object", "remove what pbr did not create: " + f}, Name: f})
	}
	return out
}

// SysctlChanged is a setting that is set, or restored.
func SysctlChanged(op string, s plan.SysctlChange) Change {
	return sysctlChange{changeHead{op, "sysctl", fmt.Sprintf("%s %s to %s", op, s.Path, s.Want)}, s.Path, s.Want, s.Have}
}

// ConnectionsChanged is something that was done to a number of connections.
func ConnectionsChanged(op string, n int, text string) Change {
	return countedChange{changeHead{op, "connections", text}, n}
}

func first[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

func changeOp(noHave, noWant, rebuild bool) string {
	if rebuild {
		return "rebuild"
	}
	return [...]string{"add", "change", "remove"}[changeKind(noHave, noWant)]
}

func changeOfRoute(r plan.RouteChange, names map[uint32]string) Change {
	one := first(r.Want, r.Have)
	v := routeChange{changeHead: changeHead{"replace", "route", ""}, routeView: viewRoute(one, names)}
	if r.Have == nil || r.Want == nil {
		v.Op = changeOp(r.Have == nil, r.Want == nil, false)
	} else {
		was := viewRoute(r.Have, names)
		v.Was = &was
	}
	v.Text = fmt.Sprintf("%s route: ip -%d route %s", v.Op, one.Family, appendRoute(nil, one))
	return v
}

func changeOfRule(r plan.RuleChange, names map[uint32]string) Change {
	one := first(r.Want, r.Have)
	op := changeOp(r.Have == nil, r.Want == nil, false)
	return ruleChange{changeHead{op, "rule", fmt.Sprintf("%s rule: ip -%d rule %s", op, one.Family,
		appendRule(nil, one))}, viewRule(one, names)}
}

func changeOfNamed(kind, op, name string, added, removed int) Change {
	v := namedChange{changeHead: changeHead{op, kind, fmt.Sprintf("%s %s %s", op, kind, name)}, Name: name}
	if op == "change" && kind != "counter" {
		v.Added, v.Removed = &added, &removed
		v.Text += fmt.Sprintf(": %d added, %d removed", added, removed)
	}
	return v
}

func editedRules(edits []plan.RuleEdit) (added, removed int) {
	for _, e := range edits {
		switch e.Op {
		case plan.Insert:
			added += e.N
		case plan.Remove:
			removed += e.N
		}
	}
	return added, removed
}
