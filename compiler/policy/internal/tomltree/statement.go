package tomltree

import "fmt"

// isBare has the bytes of bare keys.
var isBare = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
	}
	return t
}()

// statement reads a [header], a [[header]] or a key = value; what is how it ends.
func (s *scanner) statement() (what string, ok bool) {
	if s.peek() == '[' {
		return "header", s.header()
	}
	return "value", s.keyValue(s.table)
}

// header reads [a.b] or [[a.b]] and makes its table the current one; what follows a broken one
// goes nowhere.
func (s *scanner) header() bool {
	if !s.openHeader() {
		s.table = &Fields{}
		return false
	}
	return true
}

func (s *scanner) openHeader() bool {
	line, col := s.at(s.i)
	s.i++
	array := s.peek() == '['
	if array {
		s.i++
	}
	if !s.keyPath() {
		return false
	}
	end := "]"
	if array {
		end = "]]"
	}
	for range end {
		if s.peek() != ']' {
			return s.fail(s.i, fmt.Sprintf("close it with %q", end), "%s in a table header", s.found())
		}
		s.i++
	}
	s.open(line, col, array)
	return true
}

// open makes s.path's table the current one.
func (s *scanner) open(line, col int32, array bool) {
	at := s.root
	for _, k := range s.path[:len(s.path)-1] {
		f := at.Get(k.name)
		if f == nil {
			sub := s.arena.table(Fields{Line: line, Col: col})
			f = at.add(&s.arena, Field{Key: k.name, Line: k.line, Col: k.col, Value: Node{Kind: Table, Line: line, Col: col, Fields: sub}})
		}
		if at = s.into(at, f); at == nil {
			s.duplicate(k, "%q is a value and cannot hold a table", k.name)
			s.table = &Fields{}
			return
		}
	}
	k := s.path[len(s.path)-1]
	f := at.Get(k.name)
	sub := s.arena.table(Fields{Line: line, Col: col, origin: explicit})
	node := Node{Kind: Table, Line: line, Col: col, Fields: sub}
	switch {
	case f == nil && array:
		at.add(&s.arena, Field{Key: k.name, Line: k.line, Col: k.col,
			Value: Node{Kind: Array, Line: line, Col: col, Items: s.array(node)}})
		if at.arrays == nil {
			at.arrays = map[string]bool{}
		}
		at.arrays[k.name] = true
	case f == nil:
		at.add(&s.arena, Field{Key: k.name, Line: k.line, Col: k.col, Value: node})
	case array && at.arrays[k.name]:
		*f.Value.Items = s.appended(*f.Value.Items, node)
	case !array && f.Value.Kind == Table && f.Value.Fields.origin == implied:
		sub = f.Value.Fields
		sub.Line, sub.Col, sub.origin = line, col, explicit
	default:
		s.duplicate(k, "%q is defined twice, first at line %d", k.name, f.Line)
		s.errs[len(s.errs)-1].Header = true
	}
	s.table = sub
}

// into returns the table behind a field on the way of a header; nil when there is none to enter.
func (s *scanner) into(at *Fields, f *Field) *Fields {
	switch {
	case f.Value.Kind == Table && f.Value.Fields.origin != inline:
		return f.Value.Fields
	case f.Value.Kind == Array && at.arrays[f.Key]:
		items := *f.Value.Items
		return items[len(items)-1].Fields
	}
	return nil
}

// keyPath reads a dotted key into s.path and passes the space behind it.
func (s *scanner) keyPath() bool {
	s.path = s.path[:0]
	for {
		s.skipSpace()
		line, col := s.at(s.i)
		var name string
		switch c := s.peek(); {
		case isBare[c]:
			start := s.i
			for s.i < len(s.src) && isBare[s.src[s.i]] {
				s.i++
			}
			name = s.src[start:s.i]
		case c == '"' || c == '\'':
			var ok bool
			if name, ok = s.oneLineString(c); !ok {
				return false
			}
		default:
			return s.fail(s.i, s.keyHint(), "%s where a key should be", s.found())
		}
		if len(s.path) == maxParts {
			return s.fail(s.i, "", "the key has more than %d parts", maxParts)
		}
		s.path = append(s.path, key{name, line, col})
		s.skipSpace()
		if s.peek() != '.' {
			return true
		}
		s.i++
	}
}

// keyHint guesses what was meant by something that begins no key.
func (s *scanner) keyHint() string {
	c := s.peek()
	if c >= 0x80 {
		return "write keys of other characters than letters, digits, _ and - in double quotes"
	}
	if c == 0 && s.i < len(s.src) {
		return "this is no text, or UTF-16: " + saveAsUTF8
	}
	return ""
}

// keyValue reads key = value into table.
func (s *scanner) keyValue(table *Fields) bool {
	if !s.keyPath() {
		return false
	}
	if s.peek() != '=' {
		name := s.path[len(s.path)-1].name
		hint := s.keyHint()
		if hint == "" && name != "" {
			hint = "write " + name + " = value"
		}
		return s.fail(s.i, hint, "%s after the key %q", s.found(), name)
	}
	s.i++
	s.skipSpace()
	last := s.path[len(s.path)-1]
	table, ok := s.descend(table)
	value, good := s.value()
	if !good {
		return false
	}
	if !ok {
		return true
	}
	if f := table.Get(last.name); f != nil {
		s.duplicate(last, "%q is set twice, first at line %d", last.name, f.Line)
		return true
	}
	table.add(&s.arena, Field{Key: last.name, Line: last.line, Col: last.col, Value: value})
	return true
}

// descend walks the front parts of a dotted key, making their tables.
func (s *scanner) descend(table *Fields) (*Fields, bool) {
	for _, k := range s.path[:len(s.path)-1] {
		f := table.Get(k.name)
		if f == nil {
			sub := s.arena.table(Fields{Line: k.line, Col: k.col, origin: dotted})
			table.add(&s.arena, Field{Key: k.name, Line: k.line, Col: k.col,
				Value: Node{Kind: Table, Line: k.line, Col: k.col, Fields: sub}})
			table = sub
			continue
		}
		if f.Value.Kind != Table || f.Value.Fields.origin != dotted {
			s.duplicate(k, "%q is defined twice, first at line %d", k.name, f.Line)
			return nil, false
		}
		table = f.Value.Fields
	}
	return table, true
}
