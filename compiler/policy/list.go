package policy

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"pbr/compiler/policy/internal/tomltree"
)

// listDraft is a list while the file is being read.
type listDraft struct {
	index int // into doc.Lists
	refs  []listRef
	used  bool
	state resolveState
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
			sub.errorAt(l.Pos, codeBadName, f.Key, nameHint, "%q is no name", f.Key)
		}
		draft := &listDraft{index: len(p.doc.Lists)}
		if f.Value.Kind == tomltree.Table {
			p.listTable(sub, &l, draft, f.Value.Fields)
		} else {
			p.listEntries(sub, &l, draft, &f.Value)
		}
		p.lists[f.Key] = draft
		p.doc.Lists = append(p.doc.Lists, l)
	}
	s.done()
	p.resolveLists()
}

// listEntries reads a list that stands in the policy file.
func (p *parser) listEntries(s *section, l *List, draft *listDraft, value *tomltree.Node) {
	items := []tomltree.Node{}
	if value.Kind == tomltree.Array {
		items = *value.Items
	} else {
		items = append(items, *value)
	}
	l.Ranges = make([]Range, 0, len(items))
	for i := range items {
		n := &items[i]
		if n.Kind != tomltree.String {
			s.wrongType(l.Name, n, "an address, prefix or range in quotes")
			continue
		}
		if f := draft.entry(l, n.Text, p.pos(n.Line, n.Col)); f != nil {
			s.errorAt(p.nodePos(n), f.code, l.Name, f.hint, "%s", f.message)
		}
	}
}

// entry adds one element, from the policy file or from a list file.
func (d *listDraft) entry(l *List, text string, pos Pos) *fault {
	switch {
	case strings.HasPrefix(text, "@"):
		d.refs = append(d.refs, listRef{text[1:], pos})
		return nil
	case strings.HasPrefix(text, "!"):
		return &fault{codeNegation, fmt.Sprintf("%q: a list cannot leave addresses out", text), `negate where the list is used: "!@` + l.Name + `"`}
	}
	r, f := parseRange(text)
	if f == nil {
		l.Ranges = append(l.Ranges, r)
	}
	return f
}

// listTable reads { file = "..." } or { domains = [...] }.
func (p *parser) listTable(s *section, l *List, draft *listDraft, fields *tomltree.Fields) {
	t := p.section(fields, s.path+"."+l.Name, s.label)
	file, pos := t.str("file")
	for e := range t.entries("domains", neverNegated, false) {
		name := domainName(e.text)
		if !validDomain(name) {
			t.errorAt(e.pos, codeBadValue, "domains", "", "%q is no domain name", e.text)
			continue
		}
		l.Domains = append(l.Domains, name)
	}
	switch hasFile, hasDomains := fields.Get("file") != nil, fields.Get("domains") != nil; {
	case hasFile && hasDomains:
		t.errorAt(t.pos(), codeConflict, "", "make two lists of them", "file and domains exclude each other")
	case !hasFile && !hasDomains:
		t.errorAt(t.pos(), codeMissingKey, "", "", "a list is an array, { file = \"...\" } or { domains = [...] }")
	}
	t.done()
	if pos.Line != 0 {
		l.File = file
		p.listFile(t, l, draft, pos)
	}
}

// listFile reads the entries of a list file: one a line, "#" starts a comment.
func (p *parser) listFile(s *section, l *List, draft *listDraft, at Pos) {
	name, display := path.Join(path.Dir(p.name), l.File), path.Join(path.Dir(p.doc.File), l.File)
	if path.IsAbs(l.File) {
		name, display = path.Clean(l.File)[1:], l.File
	}
	data, err := readRegular(p.fsys, name)
	if err != nil {
		hint := "the path is relative to the policy file"
		s.errorAt(at, codeReadFile, "file", hint, "reading the list from %q: %v", l.File, reason(err))
		return
	}
	text := strings.TrimPrefix(string(data), "\uFEFF")
	l.Ranges = make([]Range, 0, strings.Count(text, "\n")+1)
	line := 0
	for raw := range strings.SplitSeq(text, "\n") {
		line++
		if i := strings.IndexByte(raw, '#'); i >= 0 {
			raw = raw[:i]
		}
		word := strings.TrimSpace(raw)
		if word == "" {
			continue
		}
		pos := Pos{File: display, Line: line, Col: strings.Index(raw, word) + 1}
		if f := draft.entry(l, word, pos); f != nil {
			if strings.ContainsAny(word, " \t,;") && !strings.Contains(word, "-") {
				f.hint = "write one entry a line"
			}
			p.errorf(pos, f.code, "lists."+l.Name, f.hint, "%s: %s", s.label, f.message)
		}
	}
}

// reason strips the path that the message names anyway from a file system's error.
func reason(err error) error {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err
	}
	return err
}

// domainName returns a name without its closing dot, in lower case.
func domainName(v string) string { return strings.TrimSuffix(strings.ToLower(v), ".") }

// validDomain reports whether v is a host name of at least one label (RFC 1035, RFC 1123; "_" is
// seen in practice).
func validDomain(v string) bool {
	if v == "" || len(v) > 253 {
		return false
	}
	for label := range strings.SplitSeq(v, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// resolveLists puts the lists named inside lists into them, and brings all to their final form.
func (p *parser) resolveLists() {
	for i := range p.doc.Lists {
		p.resolveList(p.lists[p.doc.Lists[i].Name], nil)
	}
	for i := range p.doc.Lists {
		l := &p.doc.Lists[i]
		if draft := p.lists[l.Name]; len(l.Ranges) == 0 && len(l.Domains) == 0 && len(draft.refs) == 0 && !p.errorIn(l) {
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
			p.errorf(ref.pos, codeUnknownName, key, suggestName(ref.name, p.listNames(), "@"), "list %q: there is no list %q", l.Name, ref.name)
			continue
		case other.state == resolving:
			p.errorf(ref.pos, codeListCycle, key, "", "list %q: the lists include each other: %s", l.Name,
				strings.Join(append(way, ref.name), " > "))
			continue
		}
		p.resolveList(other, way)
		other.used = true
		inner := &p.doc.Lists[other.index]
		if len(inner.Domains) > 0 {
			p.errorf(ref.pos, codeConflict, key, "name both lists where they are used", "list %q cannot hold %q, which a DNS server fills", l.Name, ref.name)
		}
		for name := range other.includes {
			d.includes[name] = true
		}
		l.Ranges = append(l.Ranges, inner.Ranges...)
	}
	l.Ranges = mergeRanges(l.Ranges)
	d.state = resolved
}
