package policy

import (
	"fmt"
	"io/fs"
	"strings"

	"pbr/compiler/policy/internal/tomltree"
)

// Expectation is one [[expect]] of a file of assertions: a packet, and what is to become of it.
type Expectation struct {
	Pos Pos
	// Values are its keys with what stands there.
	Values map[string]ExpectedValue
}

// ExpectedValue is a key's value: a text, a number or a boolean as text, or a list of texts.
type ExpectedValue struct {
	Pos  Pos
	Text string
	// List is set if the value is a list.
	List []string
}

// ParseExpectations reads a file of assertions. keys are those that an [[expect]] may have; lists
// says which of them may be lists.
func ParseExpectations(fsys fs.FS, name, display string, keys []string, lists map[string]bool) ([]Expectation, Diagnostics) {
	p := &parser{fsys: fsys, name: name, doc: &Document{File: display}}
	text, err := readFile(fsys, name)
	if err != nil {
		p.errorf(p.wholeFile(), codeReadFile, "", "", "reading the assertions: %v", reason(err))
		return nil, p.ds
	}
	tree, errs := tomltree.Parse(text)
	if p.syntax(errs); len(errs) > 0 {
		return nil, p.ds
	}
	var out []Expectation
	root := p.section(tree, "", "the file of assertions")
	root.tables("expect", func(s *section) {
		e := Expectation{Pos: s.pos(), Values: map[string]ExpectedValue{}}
		for _, key := range keys {
			if v, ok := s.expected(key, lists[key]); ok {
				e.Values[key] = v
			}
		}
		out = append(out, e)
	})
	root.done()
	if len(out) == 0 && !p.ds.HasErrors() {
		p.errorf(p.wholeFile(), codeMissingKey, "expect", "write [[expect]] with a packet and what happens to it",
			"there is nothing to expect")
	}
	p.ds.Sort()
	return out, p.ds
}

// expected reads one key; ok is false if it is absent or of a wrong type.
func (s *section) expected(key string, mayBeList bool) (v ExpectedValue, ok bool) {
	f := s.get(key)
	if f == nil {
		return v, false
	}
	v.Pos = s.p.nodePos(&f.Value)
	switch f.Value.Kind {
	case tomltree.String, tomltree.Bool:
		v.Text = f.Value.Text
		return v, true
	case tomltree.Integer:
		v.Text = strings.ReplaceAll(f.Value.Text, "_", "")
		return v, true
	case tomltree.Array:
		for i := range *f.Value.Items {
			item := &(*f.Value.Items)[i]
			if item.Kind != tomltree.String {
				mayBeList = false
			}
			v.List = append(v.List, item.Text)
		}
		if mayBeList {
			return v, true
		}
	}
	s.wrongType(key, &f.Value, "a string or a number")
	return v, false
}

// Failed is a diagnostic about an expectation that is not met, or that cannot be asked.
func (e *Expectation) Failed(key, message string) Diagnostic {
	pos := e.Pos
	if v, ok := e.Values[key]; ok {
		pos = v.Pos
	}
	return Diagnostic{Pos: pos, Severity: Error, Code: CodeExpectation, Key: "expect." + key, Message: fmt.Sprintf("expect: %s", message)}
}
