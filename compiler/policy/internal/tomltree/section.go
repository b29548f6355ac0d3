package tomltree

import (
	"strconv"
	"strings"
)

// Section returns the table that begins at a place of a text, where its Fields say, on one line:
// the keys of a [[section]] but one, or an inline table. It is empty if none begins there.
func Section(src string, line, col int32, without string) string {
	off, ok := offset(src, line, col)
	if !ok {
		return ""
	}
	s := &scanner{src: src[off:], line: 1, col: 1, root: &Fields{origin: explicit}}
	switch s.peek() {
	case '{':
		n := Node{Kind: Table, Fields: &Fields{}}
		if !s.inlineTable(n.Fields) {
			return ""
		}
		return string(n.appendText(nil))
	case '[':
		if !s.header() {
			return ""
		}
		for s.skipBlank(); s.i < len(s.src) && s.peek() != '['; s.skipBlank() {
			if what, ok := s.statement(); !ok || !s.endOfLine(what) {
				s.recover()
			}
		}
		return string(s.table.appendText(nil, "  ", without))
	}
	return ""
}

// offset returns where a place is in a text; false if the text does not have it.
func offset(src string, line, col int32) (off int, ok bool) {
	for ; line > 1; line-- {
		n := strings.IndexByte(src[off:], '\n')
		if n < 0 {
			return 0, false
		}
		off += n + 1
	}
	for i := range src[off:] {
		if col--; col == 0 {
			return off + i, true
		}
	}
	return 0, false
}

// appendText appends the fields but one as TOML.
func (f *Fields) appendText(b []byte, separator, without string) []byte {
	first := true
	for i := range f.List {
		field := &f.List[i]
		if field.Key == without {
			continue
		}
		if !first {
			b = append(b, separator...)
		}
		first = false
		b = append(appendKey(b, field.Key), " = "...)
		b = field.Value.appendText(b)
	}
	return b
}

// appendText appends the value as TOML.
func (n *Node) appendText(b []byte) []byte {
	switch n.Kind {
	case String:
		return strconv.AppendQuote(b, n.Text)
	case Array:
		b = append(b, '[')
		for i := range *n.Items {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = (*n.Items)[i].appendText(b)
		}
		return append(b, ']')
	case Table:
		if len(n.Fields.List) == 0 {
			return append(b, "{}"...)
		}
		return append(n.Fields.appendText(append(b, "{ "...), ", ", ""), " }"...)
	}
	return append(b, n.Text...)
}

func appendKey(b []byte, key string) []byte {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r >= 0x80 || !isBare[r] }) {
		return strconv.AppendQuote(b, key)
	}
	return append(b, key...)
}
