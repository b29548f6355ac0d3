package tomltree

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

func closeWith(quote byte) string { return fmt.Sprintf("close it with %c", quote) }

// oneLineString reads "basic" or 'literal'. Without escapes the result shares the file's memory.
func (s *scanner) oneLineString(quote byte) (string, bool) {
	start := s.i
	s.i++
	for j := s.i; j < len(s.src); j++ {
		switch c := s.src[j]; {
		case c == quote:
			text := s.src[s.i:j]
			s.i = j + 1
			return text, true
		case c == '\\' && quote == '"':
			return s.escaped(start, j)
		case c == '\n' || c == '\r':
			return "", s.fail(start, closeWith(quote), "the string that starts here is not closed on its line")
		case c < 0x20 && c != '\t' || c == 0x7f:
			return "", s.control(j, "a string")
		}
	}
	return "", s.fail(start, closeWith(quote), "the string that starts here is never closed")
}

// escaped reads the rest of a basic string, from its first backslash on.
func (s *scanner) escaped(start, from int) (string, bool) {
	var b strings.Builder
	b.WriteString(s.src[s.i:from])
	s.i = from
	for s.i < len(s.src) {
		switch c := s.src[s.i]; {
		case c == '"':
			s.i++
			return b.String(), true
		case c == '\\':
			if !s.escape(&b) {
				return "", false
			}
		case c == '\n' || c == '\r':
			return "", s.fail(start, closeWith('"'), "the string that starts here is not closed on its line")
		case c < 0x20 && c != '\t' || c == 0x7f:
			return "", s.control(s.i, "a string")
		default:
			b.WriteByte(c)
			s.i++
		}
	}
	return "", s.fail(start, closeWith('"'), "the string that starts here is never closed")
}

// plainEscapes are the escapes that stand for one character.
var plainEscapes = map[byte]byte{'b': '\b', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r', 'e': 0x1b, '"': '"', '\\': '\\'}

// escape reads one escape sequence.
func (s *scanner) escape(b *strings.Builder) bool {
	if s.i+1 >= len(s.src) {
		return s.fail(s.i, "", "the file ends after a backslash")
	}
	c := s.src[s.i+1]
	if plain, ok := plainEscapes[c]; ok {
		b.WriteByte(plain)
		s.i += 2
		return true
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if digits == 0 {
		hint := `write a backslash as \\, or put the text in single quotes`
		switch r, _ := utf8.DecodeRuneInString(s.src[s.i+1:]); {
		case r == '\n' || r == '\r':
			return s.fail(s.i, hint, "the line ends after a backslash")
		case unicode.IsPrint(r):
			return s.fail(s.i, hint, `invalid escape \%c`, r)
		default:
			return s.fail(s.i, hint, "a backslash before %q", r)
		}
	}
	if end := s.i + 2 + digits; end <= len(s.src) {
		v, err := strconv.ParseUint(s.src[s.i+2:end], 16, 32)
		if err == nil && utf8.ValidRune(rune(v)) {
			b.WriteRune(rune(v))
			s.i = end
			return true
		}
	}
	return s.fail(s.i, fmt.Sprintf(`write \%c and %d hexadecimal digits of a Unicode character`, c, digits), `invalid escape \%c`, c)
}

// multiLineString reads a string between three quotes.
func (s *scanner) multiLineString(quote byte) (string, bool) {
	start := s.i
	s.i += 3
	if strings.HasPrefix(s.src[s.i:], "\r\n") {
		s.i += 2
	} else if s.peek() == '\n' {
		s.i++
	}
	var b strings.Builder
	for s.i < len(s.src) {
		switch c := s.src[s.i]; {
		case c == quote:
			n := 1
			for s.i+n < len(s.src) && s.src[s.i+n] == quote && n < 5 {
				n++
			}
			s.i += n
			if n >= 3 { // one or two quotes may stand directly before the closing three
				b.WriteString(s.src[s.i-n : s.i-3])
				return b.String(), true
			}
			b.WriteString(s.src[s.i-n : s.i])
		case c == '\\' && quote == '"':
			if s.lineContinuation() {
				continue
			}
			if !s.escape(&b) {
				return "", false
			}
		case c < 0x20 && c != '\t' && c != '\n' && !strings.HasPrefix(s.src[s.i:], "\r\n") || c == 0x7f:
			return "", s.control(s.i, "a string")
		default:
			b.WriteByte(c)
			s.i++
		}
	}
	return "", s.fail(start, fmt.Sprintf("close it with %s", s.src[start:start+3]), "the string that starts here is never closed")
}

// lineContinuation passes a backslash at a line's end and all space after it.
func (s *scanner) lineContinuation() bool {
	j := s.i + 1
	for j < len(s.src) && (s.src[j] == ' ' || s.src[j] == '\t') {
		j++
	}
	if j >= len(s.src) || s.src[j] != '\n' && !strings.HasPrefix(s.src[j:], "\r\n") {
		return false
	}
	s.i = j + len(s.src[j:]) - len(strings.TrimLeft(s.src[j:], " \t\r\n"))
	return true
}
