package policy

import (
	"fmt"
	"maps"
	"slices"
	"unicode"
	"unicode/utf8"
)

// CommonKeys are the keys that every object has besides its own.
type CommonKeys struct {
	// Comment is for people.
	Comment string
	// Disabled takes the object out of the document, once it has been checked.
	Disabled bool
}

// Disabled is an object that is checked and has no effect.
type Disabled struct {
	Pos     Pos
	Kind    string // "uplink", "table", "default", "balance", "policy", "rule" or "list" (of which it may be one source)
	Name    string
	Comment string
}

// maxComment bounds a comment in letters: it is shown in tables.
const maxComment = 200

// commonKeys reads comment and disabled.
func (s *section) commonKeys() (r CommonKeys) {
	r.Disabled = s.boolean("disabled", false)
	r.Comment = s.comment()
	return r
}

// comment reads comment.
func (s *section) comment() string {
	text, pos := s.str("comment")
	switch {
	case pos.Line == 0:
	case utf8.RuneCountInString(text) > maxComment:
		s.errorAt(pos, codeBadValue, "comment", "use # comments for more", "comment has more than %d letters", maxComment)
	case slices.ContainsFunc([]rune(text), func(c rune) bool { return !unicode.IsPrint(c) }):
		s.errorAt(pos, codeBadValue, "comment", "write it on one line", "comment %q has characters that cannot be shown", text)
	default:
		return text
	}
	return ""
}

// pruner takes what is disabled out of a document, and what depends on it.
type pruner struct {
	*parser
	// gone says of each target that is not there any more why.
	gone map[Target]string
}

// prune takes disabled objects out of the document. What leads to them alone is an error, unless it
// is disabled itself.
func (p *parser) prune() {
	x := &pruner{p, map[Target]string{}}
	for i := range p.doc.Uplinks {
		if u := &p.doc.Uplinks[i]; u.Disabled {
			x.lose(ToUplink, u.Name, u.Pos, "uplink", u.Comment, "is disabled")
		}
	}
	for i := range p.doc.Tables {
		x.table(&p.doc.Tables[i])
	}
	if d := p.doc.Default; d != nil {
		x.routes(d)
		if d.Disabled {
			x.note(d.Pos, "default", "", d.Comment)
			p.doc.Default = nil
		}
	}
	for i := range p.doc.Balances {
		x.balance(&p.doc.Balances[i])
	}
	for i := range p.doc.Policies {
		pol := &p.doc.Policies[i]
		x.leads("policy", pol.Name, pol.Pos, pol.Target, pol.CommonKeys)
	}
	for i := range p.doc.Rules {
		r := &p.doc.Rules[i]
		x.leads("rule", r.Name, r.Pos, r.Target, r.CommonKeys)
	}
	if len(p.doc.Disabled) > 0 || len(x.gone) > 0 {
		x.takeOut()
	}
}

func (x *pruner) note(pos Pos, kind, name, comment string) {
	x.doc.Disabled = append(x.doc.Disabled, Disabled{pos, kind, name, comment})
}

// lose says that a target is not there because it is disabled.
func (x *pruner) lose(kind TargetKind, name string, pos Pos, word, comment, why string) {
	x.note(pos, word, name, comment)
	x.gone[Target{Kind: kind, Name: name}] = fmt.Sprintf("%s %q at line %d %s", word, name, pos.Line, why)
}

// why says why a target is not there; empty if it is.
func (x *pruner) why(t Target) string { return x.gone[Target{Kind: t.Kind, Name: t.Name}] }

func (x *pruner) table(t *Table) {
	had := len(t.Routes)
	x.routes(t)
	switch {
	case t.Disabled:
		x.lose(ToTable, t.Name, t.Pos, "table", t.Comment, "is disabled")
	case had > 0 && len(t.Routes) == 0:
		x.gone[Target{Kind: ToTable, Name: t.Name}] = fmt.Sprintf(
			"table %q at line %d has no route left that is not disabled", t.Name, t.Pos.Line)
	}
}

// routes leaves out the routes of a table that are disabled, or lead over an uplink that is.
func (x *pruner) routes(t *Table) {
	label := fmt.Sprintf("table %q", t.Name)
	if t.Name == "default" {
		label = "[default]"
	}
	t.Routes = slices.DeleteFunc(t.Routes, func(r Route) bool {
		why := x.why(Target{Kind: ToUplink, Name: r.Uplink})
		if why != "" && !r.Disabled && !t.Disabled {
			x.warnf(r.Pos, codeLeftOut, t.key()+".routes", "", "%s: the route over %q is left out: %s", label, r.Uplink, why)
		}
		return why != "" || r.Disabled
	})
}

// key is the table's section in the file.
func (t *Table) key() string {
	if t.Name == "default" {
		return "default"
	}
	return "table"
}

func (x *pruner) balance(b *Balance) {
	had := len(b.Members)
	b.Members = slices.DeleteFunc(b.Members, func(m Member) bool {
		why := x.why(m.Target)
		if why != "" && !m.Disabled && !b.Disabled {
			x.warnf(m.Pos, codeLeftOut, "balance.members", "", "balance %q: member %q is left out: %s", b.Name, m.Target.Name, why)
		}
		return why != "" || m.Disabled
	})
	switch {
	case b.Disabled:
		x.lose(ToBalance, b.Name, b.Pos, "balance", b.Comment, "is disabled")
	case had > 0 && len(b.Members) == 0:
		x.gone[Target{Kind: ToBalance, Name: b.Name}] = fmt.Sprintf(
			"balance %q at line %d has no member left that is not disabled", b.Name, b.Pos.Line)
	}
}

// leads reports a policy or rule whose target is not there.
func (x *pruner) leads(kind, name string, pos Pos, t Target, r CommonKeys) {
	if r.Disabled {
		x.note(pos, kind, name, r.Comment)
		return
	}
	if why := x.why(t); why != "" {
		x.errorf(t.Pos, codeDisabledTarget, kind, fmt.Sprintf("write disabled = true in the %s, or another target",
			kind), "%s %q leads nowhere: %s", kind, name, why)
	}
}

// takeOut removes the objects, and finds the places of the others again.
func (x *pruner) takeOut() {
	doc := x.doc
	doc.Uplinks = slices.DeleteFunc(doc.Uplinks, func(u Uplink) bool { return u.Disabled })
	doc.Tables = slices.DeleteFunc(doc.Tables, func(t Table) bool { return x.why(Target{Kind: ToTable, Name: t.Name}) != "" })
	doc.Balances = slices.DeleteFunc(doc.Balances, func(b Balance) bool { return x.why(Target{Kind: ToBalance, Name: b.Name}) != "" })
	doc.Policies = slices.DeleteFunc(doc.Policies, func(p Policy) bool { return p.Disabled })
	doc.Rules = slices.DeleteFunc(doc.Rules, func(r Rule) bool { return r.Disabled })
	for _, index := range []map[string]int{x.uplinks, x.tables, x.balances, x.policies, x.rules} {
		clear(index)
	}
	maps.Insert(x.uplinks, places(doc.Uplinks, func(u *Uplink) string { return u.Name }))
	maps.Insert(x.tables, places(doc.Tables, func(t *Table) string { return t.Name }))
	maps.Insert(x.balances, places(doc.Balances, func(b *Balance) string { return b.Name }))
	maps.Insert(x.policies, places(doc.Policies, func(p *Policy) string { return p.Name }))
	maps.Insert(x.rules, places(doc.Rules, func(r *Rule) string { return r.Name }))
}

// places yields the index of each name.
func places[T any](list []T, name func(*T) string) func(yield func(string, int) bool) {
	return func(yield func(string, int) bool) {
		for i := range list {
			if !yield(name(&list[i]), i) {
				return
			}
		}
	}
}

// Comment is what the file says of an object, as `uplink isp1`.
type Comment struct{ Object, Text string }

// Comments lists the comments of the document's objects, kind by kind in the file's order.
func Comments(doc *Document) (list []Comment) {
	add := func(kind, name string, r *CommonKeys) {
		if r.Comment != "" {
			list = append(list, Comment{kind + " " + name, r.Comment})
		}
	}
	for i := range doc.Lists {
		add("list", doc.Lists[i].Name, &CommonKeys{Comment: doc.Lists[i].Comment})
	}
	for i := range doc.Schedules {
		add("schedule", doc.Schedules[i].Name, &CommonKeys{Comment: doc.Schedules[i].Comment})
	}
	for i := range doc.Uplinks {
		add("uplink", doc.Uplinks[i].Name, &doc.Uplinks[i].CommonKeys)
	}
	for i := range doc.Tables {
		add("table", doc.Tables[i].Name, &doc.Tables[i].CommonKeys)
	}
	if doc.Default != nil {
		add("table", doc.Default.Name, &doc.Default.CommonKeys)
	}
	for i := range doc.Balances {
		add("balance", doc.Balances[i].Name, &doc.Balances[i].CommonKeys)
	}
	for i := range doc.Policies {
		add("policy", doc.Policies[i].Name, &doc.Policies[i].CommonKeys)
	}
	for i := range doc.Rules {
		add("rule", doc.Rules[i].Name, &doc.Rules[i].CommonKeys)
	}
	return list
}
