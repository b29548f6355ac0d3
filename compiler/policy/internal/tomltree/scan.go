package tomltree

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds nested arrays and inline tables, so that hostile input cannot exhaust the stack.
const maxDepth = 100

// maxParts bounds the parts of a dotted key, each of which is a table in the one before.
const maxParts = 32

// scanner walks the text once, from left to right.
type scanner struct {
	src  string
	i    int
	errs []SyntaxError

	// line is the line that lineOff.. belongs to; col is the column of colOff. Both only move
	// forward.
	line, col int
	colOff    int

	path  []key  // scratch of the key being read
	stack []Node // scratch of the arrays being read
	depth int
	// resume says that s.i is at a line that looks like the start of the next statement.
	resume bool
	arena
	root  *Fields
	table *Fields // where key = value lines go
}

// key is one part of a dotted key.
type key struct {
	name      string
	line, col int32
}

// Parse reads the text. The tree holds everything that was understood, also when there are errors.
func Parse(src string) (*Fields, []SyntaxError) {
	s := &scanner{src: src, line: 1, col: 1, root: &Fields{Line: 1, Col: 1, origin: explicit}}
	s.table = s.root
	if strings.HasPrefix(src, "\uFEFF") {
		s.i, s.colOff = 3, 3
	}
	if !utf8.ValidString(src) {
		s.invalidUTF8()
		return s.root, s.errs
	}
	for s.skipBlank(); s.i < len(s.src); s.skipBlank() {
		if what, ok := s.statement(); !ok || !s.endOfLine(what) {
			s.recover()
		}
	}
	return s.root, s.errs
}

const saveAsUTF8 = "save the file as UTF-8"

// IsUTF16 reports whether a text begins with the mark of UTF-16.
func IsUTF16(text string) bool {
	return strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff")
}

// invalidUTF8 reports the first bytes that are no UTF-8.
func (s *scanner) invalidUTF8() {
	if IsUTF16(s.src) {
		s.fail(0, saveAsUTF8, "the file is UTF-16")
		return
	}
	for off, r := range s.src {
		if r != utf8.RuneError {
			continue
		}
		if _, n := utf8.DecodeRuneInString(s.src[off:]); n <= 1 {
			s.fail(off, saveAsUTF8, "byte %#02x is not UTF-8", s.src[off])
			return
		}
	}
}

// at returns the place of an offset; offsets must not go backwards across a call by more than the
// current line.
func (s *scanner) at(off int) (line, col int32) {
	if off < s.colOff { // a look back inside what was passed: count again
		start := strings.LastIndexByte(s.src[:off], '\n') + 1
		s.line -= strings.Count(s.src[off:s.colOff], "\n")
		s.col = 1 + utf8.RuneCountInString(s.src[start:off])
		s.colOff = off
		return int32(s.line), int32(s.col)
	}
	part := s.src[s.colOff:off]
	if nl := strings.LastIndexByte(part, '\n'); nl >= 0 {
		s.line += strings.Count(part, "\n")
		s.col = 1
		part = part[nl+1:]
	}
	s.col += utf8.RuneCountInString(part)
	s.colOff = off
	return int32(s.line), int32(s.col)
}

// fail records an error, with what to write instead, and returns false.
func (s *scanner) fail(off int, hint, format string, args ...any) bool {
	line, col := s.at(off)
	s.errs = append(s.errs, SyntaxError{Line: int(line), Col: int(col), Message: fmt.Sprintf(format, args...), Hint: hint})
	return false
}

// control records a control character, which only escapes can write.
func (s *scanner) control(off int, where string) bool {
	c := s.src[off]
	hint := "delete it"
	if where == "a string" {
		hint = fmt.Sprintf(`delete it, or write "\u%04x" in double quotes`, c)
	}
	return s.fail(off, hint, "control character %q in %s", c, where)
}

// duplicate records that a key or table was there before.
func (s *scanner) duplicate(k key, format string, args ...any) {
	s.errs = append(s.errs, SyntaxError{Line: int(k.line), Col: int(k.col), Duplicate: true, Key: k.name,
		Message: fmt.Sprintf(format, args...)})
}

// peek returns the next byte, 0 at the end (a NUL in the text is never valid TOML).
func (s *scanner) peek() byte {
	if s.i < len(s.src) {
		return s.src[s.i]
	}
	return 0
}

// skipSpace passes blanks and tabs.
func (s *scanner) skipSpace() {
	for s.i < len(s.src) && (s.src[s.i] == ' ' || s.src[s.i] == '\t') {
		s.i++
	}
}

// skipBlank passes space, line ends and comments.
func (s *scanner) skipBlank() {
	for s.i < len(s.src) {
		switch c := s.src[s.i]; {
		case c == ' ' || c == '\t' || c == '\n':
			s.i++
		case c == '\r' && strings.HasPrefix(s.src[s.i:], "\r\n"):
			s.i += 2
		case c == '#':
			s.comment()
		default:
			return
		}
	}
}

// comment passes a comment up to its line's end.
func (s *scanner) comment() {
	end := strings.IndexByte(s.src[s.i:], '\n')
	text := s.src[s.i:]
	if end < 0 {
		end = len(text)
	} else {
		text = strings.TrimSuffix(text[:end], "\r") // of the line's end
	}
	for j := range len(text) {
		if c := text[j]; c < 0x20 && c != '\t' || c == 0x7f {
			off := s.i + j
			s.i += end
			s.control(off, "a comment")
			return
		}
	}
	s.i += end
}

// endOfLine passes what may follow a statement on its line; what is the statement's last part.
func (s *scanner) endOfLine(what string) bool {
	s.skipSpace()
	if s.i >= len(s.src) {
		return true
	}
	switch c := s.src[s.i]; {
	case c == '\n':
		s.i++
		return true
	case c == '\r' && strings.HasPrefix(s.src[s.i:], "\r\n"):
		s.i += 2
		return true
	case c == '#':
		s.comment()
		return true
	}
	return s.fail(s.i, "go on in a new line", "%s after the end of the %s", s.found(), what)
}

// found names what stands at the current place, for messages.
func (s *scanner) found() string {
	if s.i >= len(s.src) {
		return "the file ends"
	}
	switch c := s.src[s.i]; c {
	case '\n', '\r':
		return "the line ends"
	default:
		r, _ := utf8.DecodeRuneInString(s.src[s.i:])
		return fmt.Sprintf("unexpected %q", string(r))
	}
}

// recover passes the rest of a broken statement: up to the next line that looks like the start of
// one. A line that was found to be the next statement's is not passed.
func (s *scanner) recover() {
	s.depth, s.stack = 0, s.stack[:0]
	if s.resume {
		s.resume = false
		return
	}
	for s.i < len(s.src) {
		end := strings.IndexByte(s.src[s.i:], '\n')
		if end < 0 {
			s.i = len(s.src)
			return
		}
		s.i += end + 1
		if looksLikeStart(s.src[s.i:]) {
			return
		}
	}
}

// neverClosed records an array or an inline table that goes on where the file ends or another
// statement begins, if it does. Keys do not tell: an inline table has lines of them, too.
func (s *scanner) neverClosed(start int, what, end string) bool {
	line := strings.LastIndexByte(s.src[:s.i], '\n') + 1
	if s.i < len(s.src) && (line <= start || strings.Trim(s.src[line:s.i], " \t") != "" ||
		!looksLikeStart(s.src[line:]) || end == "}" && s.peek() != '[') {
		return false
	}
	s.fail(start, fmt.Sprintf("close it with %q", end), "the %s that starts here is never closed", what)
	s.resume = true
	return true
}

// looksLikeStart reports whether a line starts with a [header] alone on it, or with a bare key and
// "=".
func looksLikeStart(rest string) bool {
	line, _, _ := strings.Cut(rest, "\n")
	line = strings.TrimSpace(line)
	if head, _, _ := strings.Cut(line, "#"); strings.HasPrefix(head, "[") {
		head = strings.TrimSpace(head)
		return strings.HasSuffix(head, "]") && !strings.ContainsAny(head, `,"'{`) &&
			strings.ContainsFunc(head, func(r rune) bool { return r >= 'a' && r <= 'z' })
	}
	n := 0
	for n < len(line) && isBare[line[n]] {
		n++
	}
	return n > 0 && strings.HasPrefix(strings.TrimLeft(line[n:], " \t"), "=")
}
