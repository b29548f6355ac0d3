package render

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
)

// contextRules is how many unchanged rules of a chain stand on either side of a change.
const contextRules = 2

// set adds the changes of one set: its definition, then its elements.
func (d *diffWriter) set(c *plan.SetChange) {
	have, want := c.Have, c.Want
	some := have
	if some == nil {
		some = want
	}
	d.section("table inet " + plan.TableName + " " + setKind(some) + " " + some.Name)
	switch {
	case have == nil:
		d.heads(nil, setHead(want))
		d.elements(want, want.Elements, want.Tuples, d.added)
	case want == nil:
		d.heads(setHead(have), nil)
		d.elements(have, have.Elements, have.Tuples, d.removed)
	default:
		if c.Rebuild {
			d.heads(setHead(have), setHead(want))
			c = rebuiltElements(have, want)
		}
		d.elements(have, c.Remove, c.RemoveTuples, d.removed)
		d.elements(want, c.Add, c.AddTuples, d.added)
	}
}

// heads adds what differs in the definitions of an object.
func (d *diffWriter) heads(have, want []string) {
	for _, line := range have {
		if slices.Contains(want, line) {
			d.same([]byte(line))
		} else {
			d.removed([]byte(line))
		}
	}
	for _, line := range want {
		if !slices.Contains(have, line) {
			d.added([]byte(line))
		}
	}
}

// rebuiltElements returns which elements differ when the definitions do too.
func rebuiltElements(have, want *plan.Set) *plan.SetChange {
	if have.TypeName() != want.TypeName() {
		return &plan.SetChange{Remove: have.Elements, RemoveTuples: have.Tuples, Add: want.Elements, AddTuples: want.Tuples}
	}
	alike := *want
	alike.Elements, alike.Tuples = have.Elements, have.Tuples
	for _, c := range diffRulesets(plan.Ruleset{Sets: []plan.Set{alike}}, plan.Ruleset{Sets: []plan.Set{*want}}).Sets {
		return &c
	}
	return &plan.SetChange{}
}

func diffRulesets(have, want plan.Ruleset) *plan.Changes {
	return plan.Diff(&plan.Plan{Ruleset: have}, &plan.Plan{Ruleset: want})
}

// elements adds the first of a list of elements of s, and how many more there are.
func (d *diffWriter) elements(s *plan.Set, es []plan.Element, ts []plan.Tuple, add func([]byte)) {
	n := len(es) + len(ts)
	for i := range n {
		switch {
		case i == foldAfter:
			add(fmt.Appendf(nil, "... %d more", n-i))
			return
		case i < len(es):
			add(appendElement(nil, s.Type, &es[i]))
		default:
			add(appendTuple(nil, s.Concat, &ts[i-len(es)]))
		}
	}
}

// chain adds the changes of one chain.
func (d *diffWriter) chain(c *plan.ChainChange) {
	some := c.Want
	if some == nil {
		some = c.Have
	}
	name := "table inet " + plan.TableName + " chain " + some.Name
	d.section(name)
	var have, want []plan.ChainRule
	edits := c.Edits
	switch {
	case c.Have == nil:
		want = c.Want.Rules
		d.heads(nil, append([]string{"chain " + some.Name}, chainHead(some)...))
		edits = []plan.RuleEdit{{Op: plan.Insert, N: len(want)}}
	case c.Want == nil:
		have = c.Have.Rules
		d.heads(append([]string{"chain " + some.Name}, chainHead(some)...), nil)
		edits = []plan.RuleEdit{{Op: plan.Remove, N: len(have)}}
	default:
		have, want = c.Have.Rules, c.Want.Rules
		if c.Rebuild {
			d.heads(chainHead(c.Have), chainHead(c.Want))
			edits = rebuiltRules(c.Have, c.Want)
		}
	}
	d.edits(name, edits, have, want)
}

// chainHead is what a chain says of itself before its rules, a line each.
func chainHead(c *plan.Chain) []string {
	var head []string
	if c.Hook != "" {
		head = append(head, string(appendHook(nil, c)))
	}
	if c.Foreign != "" {
		head = append(head, "# foreign: "+string(appendLine(nil, c.Foreign)))
	}
	return head
}

// rebuiltRules returns which rules differ when the hooks do too.
func rebuiltRules(have, want *plan.Chain) []plan.RuleEdit {
	alike := *want
	alike.Rules = have.Rules
	for _, c := range diffRulesets(plan.Ruleset{Chains: []plan.Chain{alike}}, plan.Ruleset{Chains: []plan.Chain{*want}}).Chains {
		return c.Edits
	}
	return nil
}

// edits adds the rules that come and go, with a little of what stays around them. A gap of more
// than that begins a new hunk, which names the place in the planned chain.
func (d *diffWriter) edits(section string, edits []plan.RuleEdit, have, want []plan.ChainRule) {
	for i, e := range edits {
		switch e.Op {
		case plan.Remove:
			for _, r := range have[e.Have : e.Have+e.N] {
				d.removed(appendChainRule(nil, &r))
			}
		case plan.Insert:
			for _, r := range want[e.Want : e.Want+e.N] {
				d.added(appendChainRule(nil, &r))
			}
		case plan.Keep:
			d.kept(section, e, want, i > 0, i < len(edits)-1)
		}
	}
}

// kept adds the ends of a run of unchanged rules: its head after a change, its tail before one.
func (d *diffWriter) kept(section string, e plan.RuleEdit, want []plan.ChainRule, before, after bool) {
	head, tail := 0, 0
	if before {
		head = min(contextRules, e.N)
	}
	if after {
		tail = min(contextRules, e.N-head)
	}
	run := want[e.Want : e.Want+e.N]
	for i := range run[:head] {
		d.same(appendChainRule(nil, &run[i]))
	}
	if head+tail < e.N && after {
		d.section(section + ", rule " + fmt.Sprint(e.Want+e.N-tail+1))
	}
	for i := e.N - tail; i < e.N; i++ {
		d.same(appendChainRule(nil, &run[i]))
	}
}
