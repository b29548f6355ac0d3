package routeros

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/from"
	"pbr/compiler/lazy"
)

// Error is why a text is not an export.
type Error struct {
	// Line is 0 for the text as a whole.
	Line    int
	Message string
}

func (e *Error) Error() string { return e.Message }

func failed(line int, format string, args ...any) *Error {
	return &Error{Line: line, Message: fmt.Sprintf(format, args...)}
}

// arg is a key with its value.
type arg struct{ key, value string }

// command is one statement: words without a value, key=value pairs, and what [ find ... ] looks
// for.
type command struct {
	line  int
	words []string
	args  []arg
	find  []arg
}

// scanner takes a text apart into commands.
type scanner struct {
	text string
	pos  int
	line int
}

// next returns the next command, nil at the end of the text.
func (s *scanner) next() (*command, error) {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '\n':
			s.line++
			s.pos++
		case c == ' ' || c == '\t' || c == '\r' || c == ';' || c == '{' || c == '}': // braces around sections mean nothing here
			s.pos++
		case c == '#':
			s.skipComment()
		case c == '\\' && s.continues():
		default:
			return s.command()
		}
	}
	return nil, nil
}

func (s *scanner) skipComment() {
	for s.pos < len(s.text) && s.text[s.pos] != '\n' {
		s.pos++
	}
}

// continues goes past a backslash at the end of a line, and the blanks that begin the next one.
func (s *scanner) continues() bool {
	i := s.pos + 1
	for i < len(s.text) && (s.text[i] == ' ' || s.text[i] == '\t' || s.text[i] == '\r') {
		i++
	}
	if i < len(s.text) && s.text[i] != '\n' {
		return false
	}
	i++
	for i < len(s.text) && (s.text[i] == ' ' || s.text[i] == '\t') {
		i++
	}
	s.pos = min(i, len(s.text))
	s.line++
	return true
}

// command reads to the end of the statement.
func (s *scanner) command() (*command, error) {
	c := &command{line: s.line}
	for s.pos < len(s.text) {
		switch b := s.text[s.pos]; {
		case b == '\n' || b == ';' || b == '}' || b == '{' && c.isPath():
			return c, nil
		case b == ' ' || b == '\t' || b == '\r':
			s.pos++
		case b == '#':
			s.skipComment()
		case b == '\\' && s.continues():
		default:
			if err := s.token(c); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// isPath reports whether a command is only the path of a section, which braces may follow.
func (c *command) isPath() bool {
	return len(c.words) > 0 && strings.HasPrefix(c.words[0], "/") && len(c.args)+len(c.find) == 0 &&
		!slices.ContainsFunc(strings.FieldsFunc(strings.Join(c.words, "/"), func(r rune) bool { return r == '/' }),
			func(w string) bool { return verbs.Get()[w] })
}

// token reads a word, a key with its value, or [ find ... ].
func (s *scanner) token(c *command) error {
	start := s.pos
	switch s.text[s.pos] {
	case '[':
		body, err := s.balanced('[', ']')
		if err != nil {
			return err
		}
		return c.addFind(body)
	case ':':
		return failed(s.line, "a script, not an export: it runs commands as %q; run it on a router, and "+
			"import what /export prints there", s.peekWord())
	case '$', '(':
		return failed(s.line, "a script, not an export: it computes values; run it on a router, and import what /export prints there")
	case '{':
		return failed(s.line, "a script, not an export: it has blocks of commands; run it on a router, "+
			"and import what /export prints there")
	}
	word, _, err := s.value(true)
	if err != nil {
		return err
	}
	if s.pos < len(s.text) && s.text[s.pos] == '=' {
		s.pos++
		return s.pair(c, word)
	}
	if s.pos == start { // nothing that a word begins with
		s.pos++
		return nil
	}
	c.words = append(c.words, from.Text(word))
	return nil
}

func (s *scanner) peekWord() string {
	end := s.pos + 1
	for end < len(s.text) && (s.text[end] >= 'a' && s.text[end] <= 'z') {
		end++
	}
	return s.text[s.pos:end]
}

// bodies are keys whose values are commands, which nobody runs here.
var bodies = lazy.Value[map[string]bool]{Make: func() map[string]bool {
	return map[string]bool{"source": true, "script": true, "comment": true}
}}

func isBody(key string) bool {
	return bodies.Get()[key] || strings.HasPrefix(key, "on-") || strings.HasSuffix(key, "-script")
}

// blocks are keys of commands that only scripts have.
var blocks = lazy.Value[map[string]bool]{Make: func() map[string]bool {
	return map[string]bool{"do": true, "else": true, "on-error": true}
}}

// pair reads the value of a key.
func (s *scanner) pair(c *command, key string) error {
	line := s.line
	if blocks.Get()[key] && s.at('{') {
		return failed(line, "a script, not an export: %s={ } holds commands; run it on a router, and import what /export prints there", key)
	}
	if s.at('{') {
		body, err := s.balanced('{', '}')
		c.args = append(c.args, arg{key, from.Text(body)})
		return err
	}
	if s.at('[') {
		body, err := s.balanced('[', ']')
		if err != nil {
			return err
		}
		if strings.HasPrefix(strings.TrimSpace(body), "find") {
			return c.addFind(body)
		}
		return failed(line, "a script, not an export: the value of %s is a command; run it on a router, and "+
			"import what /export prints there", from.Printable(from.Text(key)))
	}
	value, variable, err := s.value(false)
	if err != nil {
		return err
	}
	if variable && !isBody(key) && !secret(key) {
		return failed(line, "a script, not an export: the value of %s is a variable; run it on a router, "+
			"and import what /export prints there", from.Printable(from.Text(key)))
	}
	c.args = append(c.args, arg{from.Text(key), from.Text(value)})
	return nil
}

func (s *scanner) at(b byte) bool { return s.pos < len(s.text) && s.text[s.pos] == b }

// value reads a bare or quoted value, or the word before a "="; variable reports whether it names a
// variable.
func (s *scanner) value(word bool) (text string, variable bool, err error) {
	var b strings.Builder
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			v, err := s.quoted(&b)
			if err != nil {
				return "", false, err
			}
			variable = variable || v
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ';' || c == '}' || word && (c == '=' || c == '{'):
			return b.String(), variable, nil
		case c == '\\':
			mark := *s
			if s.continues() {
				if b.Len() > 0 && s.startsPair() { // the blank before the backslash is missing
					*s = mark
					return b.String(), variable, nil
				}
				continue
			}
			s.escape(&b)
		default:
			variable = variable || s.startsVariable()
			b.WriteByte(c)
			s.pos++
		}
	}
	return b.String(), variable, nil
}

// startsPair reports whether a key with "=" begins here.
func (s *scanner) startsPair() bool {
	for i := s.pos; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '=':
			return i > s.pos
		case (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.':
			return false
		}
	}
	return false
}

func (s *scanner) startsVariable() bool {
	if s.text[s.pos] != '$' || s.pos+1 >= len(s.text) {
		return false
	}
	c := s.text[s.pos+1]
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '"' || c == '('
}

// quoted reads a string.
func (s *scanner) quoted(b *strings.Builder) (variable bool, err error) {
	line := s.line
	s.pos++
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; c {
		case '"':
			s.pos++
			return variable, nil
		case '\\':
			if !s.continues() {
				s.escape(b)
			}
		case '\n':
			s.line++
			b.WriteByte(c)
			s.pos++
		default:
			variable = variable || s.startsVariable()
			b.WriteByte(c)
			s.pos++
		}
	}
	return false, failed(line, "a string begins here and never ends: the export is cut off, or a quote is missing")
}

var escapes = lazy.Value[map[byte]byte]{Make: func() map[byte]byte {
	return map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'a': '\a', 'b': '\b', 'f': '\f', 'v': '\v', '_': ' '}
}}

// escape reads a backslash and what belongs to it.
func (s *scanner) escape(b *strings.Builder) {
	rest := s.text[s.pos+1:]
	if len(rest) >= 2 {
		if n, err := strconv.ParseUint(rest[:2], 16, 8); err == nil && strings.ToUpper(rest[:2]) == rest[:2] {
			b.WriteByte(byte(n))
			s.pos += 3
			return
		}
	}
	if rest == "" {
		s.pos++
		return
	}
	if c, ok := escapes.Get()[rest[0]]; ok {
		b.WriteByte(c)
	} else {
		b.WriteByte(rest[0])
	}
	s.pos += 2
}

// balanced reads what is between two brackets, which may hold others and strings.
func (s *scanner) balanced(left, right byte) (string, error) {
	line, start, depth := s.line, s.pos+1, 0
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; c {
		case left:
			depth++
		case right:
			if depth--; depth == 0 {
				s.pos++
				return s.text[start : s.pos-1], nil
			}
		case '\n':
			s.line++
		case '\\':
			if s.pos+1 < len(s.text) && s.text[s.pos+1] != '\n' {
				s.pos++
			}
		case '"':
			var ignored strings.Builder
			if _, err := s.quoted(&ignored); err != nil {
				return "", err
			}
			continue
		}
		s.pos++
	}
	return "", failed(line, "a %q begins here and is never closed: the export is cut off", left)
}

// addFind reads the inside of [ find key=value ].
func (c *command) addFind(body string) error {
	inner := &scanner{text: strings.Trim(body, " \t\r\n"), line: c.line}
	for inner.pos < len(inner.text) {
		found, err := inner.next()
		if err != nil {
			return err
		}
		if found == nil {
			return nil
		}
		c.find = append(c.find, found.args...)
		for _, w := range found.words {
			if w != "find" && w != "where" {
				c.find = append(c.find, arg{w, "yes"})
			}
		}
	}
	return nil
}
