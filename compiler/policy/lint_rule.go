package policy

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/sorting"
)

// lintSameRule warns of rules that select exactly what an earlier one, by their order, selects.
func (p *parser) lintSameRule() {
	order := make([]int, len(p.doc.Rules))
	for i := range order {
		order[i] = i
	}
	sorting.Func(order, func(a, b int) int { return ruleOrder(&p.doc.Rules[a], &p.doc.Rules[b]) })
	seen := map[string]*Rule{}
	for _, i := range order {
		r := &p.doc.Rules[i]
		key := r.selection()
		first := seen[key]
		if first == nil {
			seen[key] = r
			continue
		}
		if first.Action != RuleLookup { // a plain lookup that finds no route goes on to later rules
			p.warnf(r.Pos, codeSameMatch, "rule", "", "rule %q can never act: rule %q at line %d selects exactly the same and comes first",
				r.Name, first.Name, first.Pos.Line)
		} else {
			p.warnf(r.Pos, codeSameMatch, "rule", "",
				"rule %q selects exactly the same as rule %q at line %d, which comes first: "+
					"it acts only where that one's table has no route",
				r.Name, first.Name, first.Pos.Line)
		}
	}
}

// ruleOrder compares rules by their place in the kernel: numbered ones first.
func ruleOrder(a, b *Rule) int {
	switch {
	case a.HasPriority != b.HasPriority && a.HasPriority:
		return -1
	case a.HasPriority != b.HasPriority:
		return 1
	case a.Priority < b.Priority:
		return -1
	case a.Priority > b.Priority:
		return 1
	}
	return 0
}

// selection writes what a rule selects, in a form that does not depend on the order of entries.
func (r *Rule) selection() string {
	var parts []string
	add := func(key, value string) { parts = append(parts, key+"="+value) }
	for _, a := range r.Src {
		add("src", "@"+a.List+" "+a.Range.String())
	}
	for _, a := range r.Dst {
		add("dst", "@"+a.List+" "+a.Range.String())
	}
	for _, n := range r.IIF {
		add("iif", n.Name)
	}
	for _, n := range r.OIF {
		add("oif", n.Name)
	}
	for _, list := range []struct {
		key   string
		items []NumItem
	}{{"tos", r.TOS}, {"dscp", r.DSCP}, {"proto", r.Proto}, {"uid", r.UID}} {
		for _, n := range list.items {
			add(list.key, fmt.Sprint(n.From, "-", n.To))
		}
	}
	for _, list := range []struct {
		key   string
		items []PortItem
	}{{"sport", r.SPort}, {"dport", r.DPort}} {
		for _, n := range list.items {
			add(list.key, fmt.Sprint(n.From, "-", n.To))
		}
	}
	add("fwmark", fmt.Sprint(r.Mark, "/", r.MarkMask))
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), ",")
}
