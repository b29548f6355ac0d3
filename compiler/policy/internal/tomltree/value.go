package tomltree

import (
	"errors"
	"fmt"
	"math"
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
			n.Items, ok = s.readArray()
			s.depth--
		}
	case c == '{':
		n.Kind = Table
		if ok = s.enter(); ok {
			n.Fields = s.arena.table(Fields{Line: line, Col: col, origin: inline})
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
		return s.fail(s.i, "", "values are nested more than %d deep", maxDepth)
	}
	s.depth++
	return true
}

// readArray reads [a, b]. Elements gather on a shared stack, so that each array is allocated once.
func (s *scanner) readArray() (*[]Node, bool) {
	start, base := s.i, len(s.stack)
	s.i++
	for {
		s.skipBlank()
		if s.peek() == ']' {
			break
		}
		if s.i >= len(s.src) {
			s.neverClosed(start, "array", "]")
			return nil, false
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
			s.between(start, "array", "]", "elements")
			return nil, false
		}
	}
	s.i++
	items := s.array(s.stack[base:]...)
	s.stack = s.stack[:base]
	return items, true
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
			s.neverClosed(start, "inline table", "}")
			return false
		}
		if !s.keyValue(f) {
			return false
		}
		s.skipBlank()
		switch c := s.peek(); {
		case c == ',':
			s.i++
		case c != '}' && s.i < len(s.src):
			s.between(start, "inline table", "}", "keys")
			return false
		}
	}
	s.i++
	closeDotted(f)
	return true
}

// between records what stands where a comma or the end should.
func (s *scanner) between(start int, what, end, parts string) {
	if !s.neverClosed(start, what, end) {
		s.fail(s.i, fmt.Sprintf(`separate %s with ","`, parts), "%s in an %s", s.found(), what)
	}
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
	return s.badScalar(start, text)
}

// badScalar says what is wrong with a bare word that is not a value. It takes the whole word.
func (s *scanner) badScalar(start int, text string) bool {
	if text == "" {
		hint := "write a value, as true, 53 or \"text\""
		if strings.HasPrefix(s.src[start:], "“") || strings.HasPrefix(s.src[start:], "”") || strings.HasPrefix(s.src[start:], "‘") {
			hint = `write straight quotes: "`
		}
		return s.fail(start, hint, "%s where a value should be", s.found())
	}
	if end := strings.IndexAny(s.src[s.i:], " \t\r\n,]}#\"'"); end > 0 {
		text = s.src[start : s.i+end]
	}
	s.fail(start, scalarHint(text), "invalid value %q", text)
	e := &s.errs[len(s.errs)-1]
	e.Word, e.Key = text, s.path[len(s.path)-1].name
	return false
}

// scalarHint guesses what was meant by a bare word.
func scalarHint(text string) string {
	number := strings.ToLower(strings.ReplaceAll(text, "_", ""))
	digits := strings.TrimLeft(number, "+-")
	value, err := strconv.ParseUint(digits, 0, 64)
	switch lower := strings.ToLower(text); {
	case lower == "yes" || lower == "on" || lower == "true":
		return "write true"
	case lower == "no" || lower == "off" || lower == "false":
		return "write false"
	case len(digits) > 1 && digits[0] == '0' && isInteger(strings.TrimLeft(digits, "0")):
		return "write " + strings.TrimLeft(digits, "0") + ": a number does not start with 0"
	case err == nil && value <= math.MaxInt64:
		return "write " + strings.TrimSuffix(number, digits) + strconv.FormatUint(value, 10)
	case err == nil || errors.Is(err, strconv.ErrRange):
		return "write a number from -9223372036854775808 to 9223372036854775807"
	}
	return `put text in double quotes: "` + text + `"`
}

func isScalar(c byte) bool { return isBare[c] || c == '+' || c == '.' || c == ':' }

// scalarKind says what a bare value is; 0 for nothing that TOML knows.
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

// isFloat reports whether t is a float that fits 64 bits.
func isFloat(t string) bool {
	if !looksLikeFloat(t) {
		return false
	}
	_, err := strconv.ParseFloat(strings.ReplaceAll(t, "_", ""), 64)
	return !errors.Is(err, strconv.ErrRange) // signed nan is no error of TOML's
}

// looksLikeFloat reports whether t is written as a float: digits on both sides of a point, an
// exponent, inf or nan.
func looksLikeFloat(t string) bool {
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

// isDatetime reports whether t is a date, a time, or both, by RFC 3339 with seconds optional.
func isDatetime(t string) bool {
	if len(t) < 10 || t[4] != '-' {
		rest, ok := cutTime(t)
		return ok && rest == ""
	}
	if _, err := time.Parse(time.DateOnly, t[:10]); err != nil {
		return false
	}
	if t = t[10:]; t == "" {
		return true
	}
	if t[0] != 'T' && t[0] != 't' && t[0] != ' ' {
		return false
	}
	rest, ok := cutTime(t[1:])
	return ok && isOffset(rest)
}

// cutTime passes HH:MM, HH:MM:SS or HH:MM:SS.FRACTION.
func cutTime(t string) (rest string, ok bool) {
	if len(t) < 5 || !below(t, 24) || t[2] != ':' || !below(t[3:], 60) {
		return t, false
	}
	if t = t[5:]; t == "" || t[0] != ':' {
		return t, true
	}
	if len(t) < 3 || !below(t[1:], 60) {
		return t, false
	}
	if t = t[3:]; t == "" || t[0] != '.' {
		return t, true
	}
	rest = strings.TrimLeft(t[1:], "0123456789")
	return rest, len(rest) < len(t)-1
}

// isOffset reports whether t is nothing, Z, or the distance from UTC.
func isOffset(t string) bool {
	if t == "" || t == "Z" || t == "z" {
		return true
	}
	return len(t) == 6 && (t[0] == '+' || t[0] == '-') && below(t[1:], 24) && t[3] == ':' && below(t[4:], 60)
}

// below reports whether t begins with a number of two digits below limit.
func below(t string, limit int) bool {
	return len(t) >= 2 && isDigit(t[0]) && isDigit(t[1]) && int(t[0]-'0')*10+int(t[1]-'0') < limit
}
