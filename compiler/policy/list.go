package policy

import (
	"fmt"
	"io/fs"
	"strings"

	"pbr/compiler/policy/internal/tomltree"
)

// listDraft is a list while the file is being read.
type listDraft struct {
	index int // into doc.Lists
	refs  []listRef
	used  bool
	// disabled says that a source is left out.
	disabled bool
	state    resolveState
	// includes are the lists inside this one, itself among them, once it is resolved.
	includes map[string]bool
}

// listRef is an "@other" inside a list.
type listRef struct {
	name string
	pos  Pos
}

type resolveState uint8

const (
	unresolved resolveState = iota
	resolving
	resolved
)

// list returns a list that exists.
func (p *parser) list(name string) *List { return &p.doc.Lists[p.lists[name].index] }

// readLists reads [lists].
func (p *parser) readLists(s *section) {
	p.doc.Lists = make([]List, 0, len(s.fields.List))
	for i := range s.fields.List {
		f := &s.fields.List[i]
		f.Used = true
		l := List{Pos: p.pos(f.Line, f.Col), Name: f.Key}
		sub := &section{p: p, fields: s.fields, path: s.path, label: fmt.Sprintf("list %q", f.Key), base: len(p.asked)}
		if !validName(f.Key) {
			sub.errorAt(l.Pos, codeBadName, f.Key, nameHint, "invalid name %q", f.Key)
		}
		draft := &listDraft{index: len(p.doc.Lists)}
		p.listSources(sub, &l, draft, &f.Value)
		p.lists[f.Key] = draft
		p.doc.Lists = append(p.doc.Lists, l)
	}
	s.done()
	p.resolveLists()
}

// listSources reads what a list is made of: one entry or inline table, or an array of such.
func (p *parser) listSources(s *section, l *List, draft *listDraft, value *tomltree.Node) {
	items := []tomltree.Node{*value}
	if value.Kind == tomltree.Array {
		items = *value.Items
	}
	l.Ranges = make([]Range, 0, len(items))
	for i := range items {
		n := &items[i]
		if n.Kind == tomltree.Table {
			p.listTable(s, l, draft, n.Fields)
			continue
		}
		p.listEntry(s, l, draft, n)
	}
}

// listEntry reads an entry that stands in the policy file. Neighbours are one source.
func (p *parser) listEntry(s *section, l *List, draft *listDraft, n *tomltree.Node) {
	if n.Kind != tomltree.String {
		s.wrongType(l.Name, n, "an address, prefix or range in quotes, or { file = \"...\" }")
		return
	}
	if last := len(l.Sources) - 1; last < 0 || l.Sources[last].Kind != FromEntries {
		l.Sources = append(l.Sources, Source{Pos: p.nodePos(n)})
	}
	before := len(l.Ranges)
	src := &l.Sources[len(l.Sources)-1]
	src.Entries++
	f := draft.entry(l, n.Text, p.nodePos(n))
	p.keepRanges(l, src, before)
	if f != nil {
		s.errorAt(p.nodePos(n), f.code, l.Name, f.hint, "%s", f.message)
	}
}

// keepRanges keeps what a source added to a list from an index of its ranges on, if that is wanted.
func (p *parser) keepRanges(l *List, src *Source, from int) {
	if p.opts.Sources {
		src.Ranges = append(src.Ranges, l.Ranges[from:]...)
	}
}

// entry adds one element, from the policy file or from a list file.
func (d *listDraft) entry(l *List, text string, pos Pos) *fault {
	switch {
	case strings.HasPrefix(text, "@"):
		d.refs = append(d.refs, listRef{text[1:], pos})
		return nil
	case strings.HasPrefix(text, "!"):
		return &fault{codeNegation, fmt.Sprintf("%q: a list cannot leave addresses out", text),
			`negate where the list is used: "!@` + l.Name + `"`}
	}
	r, f := parseRange(text)
	switch {
	case f == nil:
		l.Ranges = append(l.Ranges, r)
	case isHostName(text):
		f.hint = fmt.Sprintf("addresses of names are a source of their own: { domains = [%q] }", text)
	}
	return f
}

// reason strips the path that the message names anyway from a file system's error.
func reason(err error) error {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err
	}
	return err
}

// resolveLists puts the lists named inside lists into them, and brings all to their final form.
func (p *parser) resolveLists() {
	for i := range p.doc.Lists {
		p.resolveList(p.lists[p.doc.Lists[i].Name], nil)
	}
	for i := range p.doc.Lists {
		l := &p.doc.Lists[i]
		if draft := p.lists[l.Name]; len(l.Ranges) == 0 && !l.Variable() && len(draft.refs) == 0 && !p.errorIn(l) {
			if draft.disabled {
				p.warnf(l.Pos, codeLeftOut, "lists."+l.Name, "",
					"list %q is empty, because it is disabled: what selects by it matches nothing", l.Name)
				continue
			}
			p.warnf(l.Pos, codeEmptyList, "lists."+l.Name, "", "list %q is empty: what selects by it matches nothing", l.Name)
		}
	}
}

// errorIn reports whether a list lacks entries because of errors that were reported.
func (p *parser) errorIn(l *List) bool {
	prefix := fmt.Sprintf("list %q: ", l.Name)
	for _, d := range p.ds {
		if d.Severity == Error && strings.HasPrefix(d.Message, prefix) {
			return true
		}
	}
	return false
}

// resolveList resolves one list after those inside it; way are the lists that led here.
func (p *parser) resolveList(d *listDraft, way []string) {
	if d.state == resolved {
		return
	}
	d.state = resolving
	l := &p.doc.Lists[d.index]
	key := "lists." + l.Name
	d.includes = map[string]bool{l.Name: true}
	way = append(way, l.Name)
	for _, ref := range d.refs {
		other := p.lists[ref.name]
		switch {
		case other == nil:
			p.errorf(ref.pos, codeUnknownName, key, suggestName(ref.name, p.listNames(), "@"),
				"list %q: there is no list %q", l.Name, ref.name)
			continue
		case other.state == resolving:
			p.errorf(ref.pos, codeListCycle, key, "", "list %q: the lists include each other: %s", l.Name,
				strings.Join(append(way, ref.name), " > "))
			continue
		}
		p.resolveList(other, way)
		other.used = true
		inner := &p.doc.Lists[other.index]
		if inner.RunTime() {
			p.errorf(ref.pos, codeConflict, key, "name both lists where they are used",
				"list %q cannot hold %q, which gets members while the policy is in force", l.Name, ref.name)
		}
		for name := range other.includes {
			d.includes[name] = true
		}
		l.Inner = append(l.Inner, inner.Name)
		l.Outer = l.Outer || inner.Variable()
		l.Ranges = append(l.Ranges, inner.Ranges...)
	}
	l.Ranges = mergeRanges(l.Ranges)
	for i := range l.Sources {
		l.Sources[i].Ranges = mergeRanges(l.Sources[i].Ranges)
	}
	d.state = resolved
}
