package main

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/policy"
)

// withSources parses the policy again, and keeps what each source of a list has, which only showing
// lists needs.
func (f *policyFile) withSources() *policy.Document {
	doc, _ := f.text.Parse(policy.Options{ErrorsOnly: true, Sources: true, Lack: lack, Fetched: fetchedDir()})
	return doc
}

// origin is a source of a list, with its ranges that were not asked for yet.
type origin struct {
	kind, name string
	left       []policy.Range
}

// has reports whether a part of a member is from the source. Members are asked for in their order.
func (o *origin) has(member policy.Range) bool {
	is := false
	for len(o.left) > 0 && o.left[0].To.Compare(member.To) <= 0 {
		o.left, is = o.left[1:], true
	}
	return is
}

// originsOf returns the sources of the members that the policy knows, first those that stand in the
// policy file.
func originsOf(doc *policy.Document, l *policy.List) []*origin {
	var own, others []*origin
	for i := range l.Sources {
		switch s := &l.Sources[i]; s.Kind {
		case policy.FromEntries:
			own = append(own, &origin{"policy", "", s.Ranges})
		case policy.FromFile:
			others = append(others, &origin{"file", s.File.Path, s.Ranges})
		case policy.FromURL:
			others = append(others, &origin{"url", s.URL.URL, s.Ranges})
		}
	}
	for _, name := range l.Inner {
		if inner, err := listNamed(doc, name); err == nil {
			others = append(others, &origin{"list", name, inner.Ranges})
		}
	}
	return append(own, others...)
}

// knownMembers are the members that the policy knows. One that joins entries of several sources is
// from all of them.
func knownMembers(doc *policy.Document, l *policy.List) []listMember {
	origins := originsOf(doc, l)
	out := make([]listMember, 0, len(l.Ranges))
	for _, r := range l.Ranges {
		m := listMember{Member: r.String()}
		for _, o := range origins {
			if !o.has(r) {
				continue
			}
			if m.Source == "" {
				m.Source = o.kind
			}
			if o.name != "" {
				m.From = append(m.From, o.name)
			}
			if told := strings.TrimSpace(o.kind + " " + o.name); !slices.Contains(m.told, told) {
				m.told = append(m.told, told)
			}
		}
		out = append(out, m)
	}
	return out
}

// sourceText is where a member comes from.
func (m *listMember) sourceText() string {
	if m.told != nil {
		return strings.Join(m.told, ", ")
	}
	return strings.TrimSpace(m.Source + " " + m.Name)
}

// maxSkipped is how many skipped entries of a source are shown.
const maxSkipped = 10

// writeSkipped shows what in a source's text is not an address.
func (c command) writeSkipped(s *listSource) {
	for i, e := range s.Skipped {
		if i == maxSkipped {
			fmt.Fprintf(c.stdout, "          and %d more are skipped: --json shows all\n", len(s.Skipped)-i)
			return
		}
		fmt.Fprintf(c.stdout, "          %s is skipped: %s\n", e.where(), e.Why)
	}
}

func (e *skippedEntry) where() string {
	if e.Line == 0 {
		return fmt.Sprintf("entry %d", e.Entry)
	}
	return fmt.Sprintf("line %d", e.Line)
}
