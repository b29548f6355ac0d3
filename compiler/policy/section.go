package policy

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"pbr/compiler/policy/internal/tomltree"
)

// section reads one table of the file by typed accessors, which report what does not fit. Each
// accessor's key counts as known; done reports the keys that nobody asked for.
type section struct {
	p      *parser
	fields *tomltree.Fields
	// path is the table's place in the file, as "uplink"; empty for the top.
	path string
	// label names the section in messages, as "[pbr]"; an object with a name has kind and name
	// instead.
	label      string
	kind, name string
	base       int // of p.asked
}

func (p *parser) section(f *tomltree.Fields, path, label string) *section {
	return &section{p: p, fields: f, path: path, label: label, base: len(p.asked)}
}

// title names the section in messages, as `uplink "isp1"`.
func (s *section) title() string {
	if s.kind == "" {
		return s.label
	}
	return s.kind + " " + strconv.Quote(s.name)
}

// pos is the place of the table's header or brace.
func (s *section) pos() Pos { return s.p.pos(s.fields.Line, s.fields.Col) }

// key returns a key's full name, as "uplink.gateway".
func (s *section) key(name string) string {
	switch {
	case s.path == "":
		return name
	case name == "":
		return s.path
	}
	return s.path + "." + name
}

// get returns a field, or nil when the file does not have it.
func (s *section) get(key string) *tomltree.Field {
	s.p.asked = append(s.p.asked, key)
	f := s.fields.Get(key)
	if f != nil {
		f.Used = true
	}
	return f
}

// done reports unknown keys. The section must not be read any more.
func (s *section) done() {
	for i := range s.fields.List {
		if f := &s.fields.List[i]; !f.Used {
			what := "key"
			if s.path == "" && f.Value.Kind == tomltree.Table {
				what = "section"
			}
			s.p.errorf(s.p.pos(f.Line, f.Col), codeUnknownKey, s.key(f.Key), suggestKey(s.path, f.Key, s.p.asked[s.base:]),
				"%s: unknown %s %q", s.title(), what, f.Key)
		}
	}
	s.p.asked = s.p.asked[:s.base]
}

// errorAt reports an error of a key's value.
func (s *section) errorAt(pos Pos, code, key, hint, format string, args ...any) {
	s.p.errorf(pos, code, s.key(key), hint, "%s: %s", s.title(), fmt.Sprintf(format, args...))
}

// fault reports what is wrong with a key's value.
func (s *section) fault(pos Pos, key string, f *fault) {
	s.p.errorf(pos, f.code, s.key(key), f.hint, "%s: %s: %s", s.title(), key, f.message)
}

// wrongType reports a value of the wrong type.
func (s *section) wrongType(key string, n *tomltree.Node, want string) {
	hint := ""
	if n.Kind == tomltree.String && (want == "an integer" || want == "true or false") {
		if v := n.Text; v == "true" || v == "false" || isNumber(v) {
			hint = fmt.Sprintf("write %s without quotes", v)
		}
	}
	if hint == "" && want == "true or false" {
		hint = writeBoolean
	}
	if n.Kind == tomltree.Bool && (key == "nat" || key == "nat6") {
		hint = `write "masquerade", "none" or an address`
	}
	if s.path == "lists" {
		s.errorAt(s.p.nodePos(n), codeWrongType, key, hint, "want %s, have %s", want, describe(n))
		return
	}
	s.errorAt(s.p.nodePos(n), codeWrongType, key, hint, "%s: want %s, have %s", key, want, describe(n))
}

// isNumber reports whether v is a number without a sign.
func isNumber(v string) bool {
	if v == "" || v[0] < '0' || v[0] > '9' {
		return false // without the library's error, which costs more than its answer
	}
	_, err := strconv.ParseUint(v, 0, 64)
	return err == nil
}

// describe names a value's type for messages.
func describe(n *tomltree.Node) string {
	switch n.Kind {
	case tomltree.Table:
		return "{ ... }"
	case tomltree.Array, tomltree.Integer:
		return "an " + n.Kind.String()
	}
	return "a " + n.Kind.String()
}

// table returns the sub-table of that key; an empty one, with no place, when it is absent.
func (s *section) table(key string) *section {
	f := s.get(key)
	label := "[" + s.key(key) + "]"
	if f == nil {
		return s.p.section(&tomltree.Fields{}, s.key(key), label)
	}
	switch f.Value.Kind {
	case tomltree.Table:
		return s.p.section(f.Value.Fields, s.key(key), label)
	case tomltree.Array:
		s.errorAt(s.p.nodePos(&f.Value), codeWrongType, key, "write "+label+" once, with single brackets",
			"want one %s, have several", label)
	default:
		s.wrongType(key, &f.Value, label)
	}
	return s.p.section(&tomltree.Fields{}, s.key(key), label)
}

// present reports whether the table stands in the file.
func (s *section) present() bool { return s.fields.Line != 0 }

// tables calls read for each table of an array of tables, or for a single one. The section is good
// until read returns.
func (s *section) tables(key string, read func(*section)) {
	sub, path := &section{}, s.key(key)
	for n := range s.items(key) {
		if n.Kind != tomltree.Table {
			s.wrongType(key, n, "[["+s.key(key)+"]]")
			continue
		}
		*sub = section{p: s.p, fields: n.Fields, path: path, label: key, base: len(s.p.asked)}
		read(sub)
		sub.done()
	}
}

// count returns how many elements a key has.
func (s *section) count(key string) int {
	f := s.fields.Get(key)
	switch {
	case f == nil:
		return 0
	case f.Value.Kind == tomltree.Array:
		return len(*f.Value.Items)
	}
	return 1
}

// requiredLists are the lists that must not be left out, with examples.
var requiredLists = map[string]string{
	"routes":  `routes = [ { uplink = "isp1" } ]`,
	"members": `members = [ { uplink = "isp1" }, { uplink = "isp2" } ]`,
}

// items yields the elements of an array, or a single value.
func (s *section) items(key string) func(yield func(*tomltree.Node) bool) {
	return func(yield func(*tomltree.Node) bool) {
		f := s.get(key)
		if f == nil {
			return
		}
		if f.Value.Kind != tomltree.Array {
			yield(&f.Value)
			return
		}
		items := *f.Value.Items
		if len(items) == 0 {
			hint := "leave the key out"
			if example := requiredLists[key]; example != "" {
				hint = "for example " + example
			}
			s.errorAt(s.p.nodePos(&f.Value), codeBadValue, key, hint, "%s is an empty list", key)
		}
		for i := range items {
			if !yield(&items[i]) {
				return
			}
		}
	}
}

// str returns a string, and its place; Pos.Line is 0 when the key is absent.
func (s *section) str(key string) (string, Pos) {
	f := s.get(key)
	if f == nil {
		return "", Pos{}
	}
	if f.Value.Kind != tomltree.String {
		s.wrongType(key, &f.Value, "a string")
		return "", Pos{}
	}
	pos := s.p.nodePos(&f.Value)
	if f.Value.Text == "" {
		s.errorAt(pos, codeBadValue, key, "", "%s is empty", key)
		return "", Pos{}
	}
	return f.Value.Text, pos
}

// required is str, and an error with an example of a value when the key is absent.
func (s *section) required(key, example string) (string, Pos) {
	if s.fields.Get(key) == nil {
		s.get(key)
		s.missing(key, fmt.Sprintf("%s = %q", key, example))
		return "", Pos{}
	}
	return s.str(key)
}

// missing reports that a key is not there.
func (s *section) missing(key, example string) {
	s.errorAt(s.pos(), codeMissingKey, key, "for example "+example, "%s is missing", key)
}

// word returns one of a few words, or absent when the key is not there or wrong.
func (s *section) word(key string, absent string, valid ...string) (string, Pos) {
	v, pos := s.str(key)
	if pos.Line == 0 {
		return absent, pos
	}
	for _, w := range valid {
		if v == w {
			return v, pos
		}
	}
	s.errorAt(pos, codeBadValue, key, suggest(v, valid), "invalid %s %q", key, v)
	return absent, Pos{}
}

// writeBoolean is the hint for a key that is a boolean.
const writeBoolean = "write true or false"

// booleans are the keys that are.
var booleans = []string{"allow-private", "default", "disabled", "dynamic", "hardware", "log", "persist", "required", "standby",
	"strict", "sysctl"}

// boolean returns a key's boolean, or absent without it.
func (s *section) boolean(key string, absent bool) bool {
	f := s.get(key)
	if f == nil {
		return absent
	}
	if f.Value.Kind != tomltree.Bool {
		s.wrongType(key, &f.Value, "true or false")
		return absent
	}
	return f.Value.Bool()
}

// integer returns an integer of low..high, or absent.
func (s *section) integer(key string, absent, low, high int64) (int64, Pos) {
	f := s.get(key)
	if f == nil {
		return absent, Pos{}
	}
	pos := s.p.nodePos(&f.Value)
	if f.Value.Kind != tomltree.Integer {
		s.wrongType(key, &f.Value, "an integer")
		return absent, Pos{}
	}
	v := f.Value.Int()
	if v < low || v > high {
		s.errorAt(pos, codeBadValue, key, fmt.Sprintf("must be %d to %d", low, high), "invalid %s %s", key, f.Value.Text)
		return absent, Pos{}
	}
	return v, pos
}

// duration returns a duration of low..high, or absent.
func (s *section) duration(key string, absent, low, high time.Duration) time.Duration {
	f := s.get(key)
	if f == nil {
		return absent
	}
	if f.Value.Kind != tomltree.String {
		hint := `a number needs its unit, as in "500ms", "1s", "5m", "2h", "1d"`
		s.errorAt(s.p.nodePos(&f.Value), codeWrongType, key, hint, "%s: want a string, have %s", key, describe(&f.Value))
		return absent
	}
	d, ft := parseDuration(f.Value.Text)
	if ft == nil && (d < low || d > high) {
		ft = badValue(fmt.Sprintf("must be %s to %s", ShowDuration(low), ShowDuration(high)), "invalid time %q", f.Value.Text)
	}
	if ft != nil {
		s.fault(s.p.nodePos(&f.Value), key, ft)
		return absent
	}
	return d
}

// percent returns "20%" as 0.2; 0 when absent.
func (s *section) percent(key string) float64 {
	v, pos := s.str(key)
	if pos.Line == 0 {
		return 0
	}
	if n := len(v) - 1; n > 0 && v[n] == '%' {
		if f, err := strconv.ParseFloat(v[:n], 64); err == nil && f > 0 && f <= 100 && !math.IsNaN(f) {
			return f / 100
		}
	}
	s.errorAt(pos, codeBadValue, key, `write a percentage above 0 and up to 100, as "20%"`, "%s: invalid percentage %q", key, v)
	return 0
}
