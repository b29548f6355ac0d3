package policy

import (
	"path"
	"slices"
	"strings"

	"pbr/compiler/policy/internal/tomltree"
)

// listFile reads the entries of a list file: one a line, "#" starts a comment.
func (p *parser) listFile(s *section, l *List, draft *listDraft, file string, at Pos) {
	name, display := path.Join(path.Dir(p.name), file), path.Join(path.Dir(p.doc.File), file)
	if path.IsAbs(file) {
		name, display = path.Clean(file)[1:], file
	}
	data, err := readRegular(p.fsys, name)
	if err != nil {
		hint := readHint(err, "the path is relative to the policy file")
		s.errorAt(at, codeReadFile, "file", hint, "reading the list from %q: %v", file, reason(err))
		return
	}
	if tomltree.IsUTF16(data) {
		p.errorf(Pos{File: display, Line: 1, Col: 1}, codeReadFile, "lists."+l.Name, "save the file as UTF-8",
			"%s: the file is UTF-16", s.title())
		return
	}
	text := strings.TrimPrefix(data, "\uFEFF")
	l.Ranges = slices.Grow(l.Ranges, strings.Count(text, "\n")+1)
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
			p.errorf(pos, f.code, "lists."+l.Name, f.hint, "%s: %s", s.title(), f.message)
		}
	}
}
