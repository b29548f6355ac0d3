package tomltree

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// value reads any value.
func (s *scanner) value() (Node, bool) {
	line, col := s.at(s.i)
	n := Node{Line: line, Col: col}
	ok := false
	switch c := s.peek(); {
	case c == '"' || c == '\'':
		n.Kind = String
		if strings.HasPrefix(s.src[s.i:], `"""`) || strings.HasPrefix(s.src[s.i:], `'''`) {
			n.Text, ok = s.multiLineString(c)
		} else {
			n.Text, ok = s.oneLineString(c)
		}
	case c == '[':
		n.Kind = Array
		if ok = s.enter(); ok {
			n.Items, ok = s.array()
			s.depth--
		}
	case c == '{':
		n.Kind = Table
		if ok = s.enter(); ok {
			n.Fields = &Fields{Line: line, Col: col, origin: inline}
			ok = s.inlineTable(n.Fields)
			s.depth--
		}
	default:
		ok = s.scalar(&n)
	}
	return n, ok
}

// enter goes one level down, not too deep.
func (s *scanner) enter() bool {
	if s.depth == maxDepth {
		return s.fail(s.i, "values are nested more than %d deep", maxDepth)
	}
	s.depth++
	return true
}

// array reads [a, b]. Elements gather on a shared stack, so that each array is allocated once.
func (s *scanner) array() (*[]Node, bool) {
	start, base := s.i, len(s.stack)
	s.i++
	for {
		s.skipBlank()
		if s.peek() == ']' {
			break
		}
		if s.i >= len(s.src) {
			return nil, s.fail(start, `the array that starts here is never closed by "]"`)
		}
		v, ok := s.value()
		if !ok {
			return nil, false
		}
		if len(s.stack) == cap(s.stack) { // double: append alone copies large arrays many times
			s.stack = slices.Grow(s.stack, max(64, len(s.stack)))
		}
		s.stack = append(s.stack, v)
		s.skipBlank()
		switch c := s.peek(); {
		case c == ',':
			s.i++
		case c != ']' && s.i < len(s.src):
			return nil, s.fail(s.i, `%s in an array; elements are separated by ","`, s.found())
		}
	}
	s.i++
	items := slices.Clone(s.stack[base:])
	s.stack = s.stack[:base]
	return &items, true
}

// inlineTable reads { a = 1, b = 2 }.
func (s *scanner) inlineTable(f *Fields) bool {
	start := s.i
	s.i++
	for {
		s.skipBlank()
		if s.peek() == '}' {
			break
		}
		if s.i >= len(s.src) {
			return s.fail(start, `the table that starts here is never closed by "}"`)
		}
		if !s.keyValue(f) {
			return false
		}
		s.skipBlank()
		switch c := s.peek(); {
		case c == ',':
			s.i++
		case c != '}' && s.i < len(s.src):
			return s.fail(s.i, `%s in an inline table; keys are separated by ","`, s.found())
		}
	}
	s.i++
	closeDotted(f)
	return true
}

// closeDotted makes the tables of dotted keys in braces as complete as the braces.
func closeDotted(f *Fields) {
	for i := range f.List {
		if sub := f.List[i].Value.Fields; sub != nil && sub.origin == dotted {
			sub.origin = inline
			closeDotted(sub)
		}
	}
}

// scalar reads a boolean, number, date or time.
func (s *scanner) scalar(n *Node) bool {
	start := s.i
	for s.i < len(s.src) && isScalar(s.src[s.i]) {
		s.i++
	}
	text := s.src[start:s.i]
	if len(text) == 10 && text[4] == '-' && s.i+3 < len(s.src) && s.src[s.i] == ' ' && s.src[s.i+3] == ':' {
		s.i++ // a date and a time may be joined by a blank
		for s.i < len(s.src) && isScalar(s.src[s.i]) {
			s.i++
		}
		text = s.src[start:s.i]
	}
	n.Text = text
	if n.Kind = scalarKind(text); n.Kind != 0 {
		return true
	}
	switch {
	case text == "":
		return s.fail(start, "%s where a value should be", s.found())
	case text == "yes" || text == "on":
		return s.fail(start, "%q is no value; write true", text)
	case text == "no" || text == "off":
		return s.fail(start, "%q is no value; write false", text)
	case isInteger(strings.TrimLeft(text, "0")):
		return s.fail(start, "%q is no value; a number does not start with 0", text)
	case text == "True" || text == "TRUE" || text == "False" || text == "FALSE":
		return s.fail(start, "%q is no value; write %s", text, strings.ToLower(text))
	}
	return s.fail(start, "%q is no value; text stands in double quotes", text)
}

func isScalar(c byte) bool { return isBare[c] || c == '+' || c == '.' || c == ':' }

// scalarKind tells what a bare value is; 0 for nothing that TOML knows.
func scalarKind(t string) Kind {
	switch {
	case t == "":
		return 0
	case t == "true" || t == "false":
		return Bool
	case isInteger(t):
		return Integer
	case isFloat(t):
		return Float
	case isDatetime(t):
		return Datetime
	}
	return 0
}

// isInteger reports whether t is an integer that fits 64 bits.
func isInteger(t string) bool {
	if t == "" {
		return false
	}
	digits, base := t, 10
	if len(t) > 2 && t[0] == '0' {
		switch t[1] {
		case 'x':
			base = 16
		case 'o':
			base = 8
		case 'b':
			base = 2
		}
	}
	if base != 10 {
		digits = t[2:]
	} else {
		if digits[0] == '+' || digits[0] == '-' {
			digits = digits[1:]
		}
		if len(digits) > 1 && digits[0] == '0' {
			return false
		}
	}
	if !wellSeparated(digits) {
		return false
	}
	digits = strings.ReplaceAll(digits, "_", "")
	if digits == "" || digits[0] == '+' || digits[0] == '-' {
		return false
	}
	if base == 10 && t[0] == '-' {
		digits = "-" + digits
	}
	_, err := strconv.ParseInt(digits, base, 64)
	return err == nil
}

// wellSeparated reports whether each "_" of a number stands between digits.
func wellSeparated(t string) bool {
	for i := range len(t) {
		if t[i] == '_' && (i == 0 || i == len(t)-1 || !isHex(t[i-1]) || !isHex(t[i+1])) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isFloat reports whether t is a float: digits on both sides of a point, an exponent, inf or nan.
func isFloat(t string) bool {
	if t[0] == '+' || t[0] == '-' {
		t = t[1:]
	}
	if t == "inf" || t == "nan" {
		return true
	}
	mantissa, exponent, hasExp := strings.Cut(strings.ToLower(t), "e")
	whole, fraction, hasPoint := strings.Cut(mantissa, ".")
	if !hasExp && !hasPoint || !isDigits(whole) || len(whole) > 1 && whole[0] == '0' || hasPoint && !isDigits(fraction) {
		return false
	}
	if hasExp {
		if exponent != "" && (exponent[0] == '+' || exponent[0] == '-') {
			exponent = exponent[1:]
		}
		return isDigits(exponent)
	}
	return true
}

// isDigits reports whether t is decimal digits with "_" only between them.
func isDigits(t string) bool {
	if t == "" || !isDigit(t[0]) || !isDigit(t[len(t)-1]) {
		return false
	}
	for i := range len(t) {
		if !isDigit(t[i]) && (t[i] != '_' || t[i-1] == '_') {
			return false
		}
	}
	return true
}

// isDatetime reports whether t is a date, a time, or both.
func isDatetime(t string) bool {
	if colon := strings.IndexByte(t, ':'); len(t) < 5 || !isDigit(t[0]) || colon != -1 && colon != 2 && colon != 13 {
		return false // the layouts below also take hours of one digit
	}
	t = strings.ToUpper(strings.Replace(t, " ", "T", 1))
	for _, layout := range [...]string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02", "15:04:05",
		"2006-01-02T15:04Z07:00", "2006-01-02T15:04", "15:04"} {
		if _, err := time.Parse(layout, t); err == nil {
			return true
		}
	}
	return false
}
