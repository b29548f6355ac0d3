package render

import (
	"fmt"
	"strings"

	"pbr/compiler/plan"
)

// Summary returns what c does as lines for a person, one for each kind of object that changes, in
// apply's order.
func Summary(c *plan.Changes) []string {
	var out []string
	out = addTally(out, "sysctls", tallied{len(c.Sysctls), "set"})
	var t [3]int
	for _, r := range c.Routes {
		t[changeKind(r.Have == nil, r.Want == nil)]++
	}
	out = addTally(out, "routes", tally(t, "replaced")...)
	t = [3]int{}
	for _, r := range c.Rules {
		t[changeKind(r.Have == nil, r.Want == nil)]++
	}
	out = addTally(out, "rules", tally(t, "replaced")...)
	t = [3]int{}
	for _, x := range c.Counters {
		t[changeKind(x.Have == nil, x.Want == nil)]++
	}
	out = addTally(out, "counters", tally(t, "changed")...)
	out = addTally(out, "flowtables", summarizeFlowtables(c.Flowtables)...)
	out = addTally(out, "sets", summarizeSets(c.Sets)...)
	out = addTally(out, "chains", summarizeChains(c.Chains)...)
	return addTally(out, "foreign objects", tallied{len(c.Foreign), "removed"})
}

// FirstTime says, of changes that add everything, how much that is; empty where something of pbr is
// there already.
func FirstTime(have *plan.Plan, c *plan.Changes) string {
	r := &have.Ruleset
	if len(have.Routes)+len(have.Rules)+len(r.Counters)+len(r.Flowtables)+len(r.Sets)+len(r.Chains)+len(c.Foreign) > 0 || c.Empty() {
		return ""
	}
	var kinds []string
	objects := 0
	for _, kind := range []tallied{{len(c.Routes), "routes"}, {len(c.Rules), "rules"}, {len(c.Counters), "counters"},
		{len(c.Flowtables), "flowtables"}, {len(c.Sets), "sets"}, {len(c.Chains), "chains"}} {
		if objects += kind.n; kind.n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", kind.n, counted(kind.n, kind.what)))
		}
	}
	text := ""
	if objects > 0 {
		text = fmt.Sprintf("%d %s to add (%s)", objects, counted(objects, "objects"), strings.Join(kinds, ", "))
	}
	if n := len(c.Sysctls); n > 0 {
		text = strings.TrimPrefix(fmt.Sprintf("%s, %d %s to change", text, n, counted(n, "settings")), ", ")
	}
	return text + ": nothing of pbr is in the kernel yet, and pbr apply does all of this"
}

// counted is a word in the plural, in the singular for one.
func counted(n int, word string) string {
	if n == 1 {
		return strings.TrimSuffix(word, "s")
	}
	return word
}

// tallied is a number of things and what became of them.
type tallied struct {
	n    int
	what string
}

// singular are the things that a tally names.
var singular = map[string]string{"rules ": "rule ", "elements ": "element ", "interfaces ": "interface "}

// changeKind is 0 for what comes, 1 for what changes, 2 for what goes.
func changeKind(noHave, noWant bool) int {
	switch {
	case noHave:
		return 0
	case noWant:
		return 2
	}
	return 1
}

func tally(t [3]int, changed string) []tallied {
	return []tallied{{t[0], "added"}, {t[1], changed}, {t[2], "removed"}}
}

// addTally adds a line with the parts that are not zero, and none when all are.
func addTally(out []string, kind string, parts ...tallied) []string {
	var words []string
	for _, p := range parts {
		if p.n > 0 {
			what := p.what
			if p.n == 1 {
				for many, one := range singular {
					what = strings.Replace(what, many, one, 1)
				}
			}
			words = append(words, fmt.Sprintf("%d %s", p.n, what))
		}
	}
	if words == nil {
		return out
	}
	return append(out, kind+": "+strings.Join(words, ", "))
}

// objects counts what becomes of objects, and of what they have in them.
type objects struct {
	kinds                   [3]int
	rebuilt, added, removed int
}

// count takes one object's change: it is rebuilt, comes, changes or goes.
func (o *objects) count(rebuild, noHave, noWant bool, added, removed int) {
	if rebuild {
		o.rebuilt++
		return
	}
	o.kinds[changeKind(noHave, noWant)]++
	o.added += added
	o.removed += removed
}

// tally lists that; parts is what the objects have in them.
func (o *objects) tally(parts string) []tallied {
	return append(tally(o.kinds, "changed"), tallied{o.rebuilt, "rebuilt"}, tallied{o.added, parts + " added"},
		tallied{o.removed, parts + " removed"})
}

func summarizeFlowtables(changes []plan.FlowtableChange) []tallied {
	var o objects
	for i := range changes {
		c := &changes[i]
		o.count(c.Rebuild, c.Have == nil, c.Want == nil, len(c.Add), len(c.Remove))
	}
	return o.tally("interfaces")
}

func summarizeSets(changes []plan.SetChange) []tallied {
	var o objects
	for i := range changes {
		c := &changes[i]
		o.count(c.Rebuild, c.Have == nil, c.Want == nil, len(c.Add), len(c.Remove))
	}
	return o.tally("elements")
}

func summarizeChains(changes []plan.ChainChange) []tallied {
	var o objects
	for i := range changes {
		c := &changes[i]
		added, removed := editedRules(c.Edits)
		o.count(c.Rebuild, c.Have == nil, c.Want == nil, added, removed)
	}
	return o.tally("rules")
}
