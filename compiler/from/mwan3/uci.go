// Package mwan3 turns a configuration of mwan3 on OpenWrt (the files mwan3 and network, in UCI)
// into a policy file. Text in, text and an account of every section out: no file, no kernel.
//
//	uci.go       text into sections
//	config.go    sections into interfaces, members, policies and rules
//	uplinks.go   interfaces into uplinks
//	policies.go  policies into tables and balances, rules into policies
package mwan3

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/from"
)

// Error is why a configuration cannot be used.
type Error struct {
	File    string
	Line    int
	Message string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// section is one "config TYPE 'NAME'" with its options.
type section struct {
	*from.Statement
	kind, name string
	options    map[string]string
	lists      map[string][]string
	// keys are the options and lists in their order, each once.
	keys []string
}

// get is an option's value, absent if it is not there.
func (s *section) get(key, absent string) string {
	if v, ok := s.options[key]; ok && v != "" {
		return v
	}
	return absent
}

// all are a list's values; an option counts as a list of words.
func (s *section) all(key string) []string {
	if l := s.lists[key]; len(l) > 0 {
		return l
	}
	return strings.Fields(s.options[key])
}

// parse reads a UCI file.
func parse(file string, text []byte) ([]*section, error) {
	if slices.Contains(text, 0) {
		return nil, &Error{File: file, Message: "the file is binary, not a configuration of UCI"}
	}
	var out []*section
	body := strings.TrimPrefix(strings.ReplaceAll(from.Text(string(text)), "\r\n", "\n"), "\ufeff")
	line := 1
	for body != "" {
		first := line
		words, rest, lines, err := logicalLine(body)
		if err != "" {
			return nil, &Error{File: file, Line: first, Message: err}
		}
		body, line = rest, line+lines
		if len(words) == 0 {
			continue
		}
		switch {
		case words[0] == "package" || words[0] == "export":
		case words[0] == "config" && (len(words) == 2 || len(words) == 3):
			out = append(out, newSection(file, first, words))
		case (words[0] == "option" || words[0] == "list") && len(words) == 3 && len(out) > 0:
			out[len(out)-1].set(words[0], words[1], words[2])
		default:
			return nil, &Error{File: file, Line: first, Message: "want config TYPE 'NAME', option KEY 'VALUE' or list KEY 'VALUE'"}
		}
	}
	return out, nil
}

func newSection(file string, line int, words []string) *section {
	s := &section{kind: words[1], options: map[string]string{}, lists: map[string][]string{}}
	if len(words) == 3 {
		s.name = words[2]
	}
	s.Statement = &from.Statement{File: file, Line: line, Section: "config " + s.kind}
	s.Show = s.show
	return s
}

func (s *section) set(kind, key, value string) {
	if !slices.Contains(s.keys, key) {
		s.keys = append(s.keys, key)
	}
	if kind == "list" {
		s.lists[key] = append(s.lists[key], value)
		return
	}
	s.options[key] = value
}

// secretParts are in the names of options whose values are nobody's business.
var secretParts = []string{"password", "key", "secret", "username", "pin", "psk", "auth", "token", "cert"}

// show is the section as it may be repeated.
func (s *section) show() (text, what string) {
	parts := []string{"config " + s.kind}
	if s.name != "" {
		parts = append(parts, "'"+s.name+"'")
		what = "'" + s.name + "'"
	}
	for _, key := range s.keys {
		value := strings.Join(append(slices.Clip(s.lists[key]), s.options[key]), " ")
		if slices.ContainsFunc(secretParts, func(p string) bool { return strings.Contains(key, p) }) {
			value = "..."
		}
		parts = append(parts, key+"='"+strings.TrimSpace(value)+"'")
	}
	return strings.Join(parts, " "), what
}

// logicalLine reads the words of one line; strings may hold line ends.
func logicalLine(body string) (words []string, rest string, lines int, wrong string) {
	var word strings.Builder
	inWord := false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '\n':
			if inWord {
				words = append(words, word.String())
			}
			return words, body[i+1:], lines + 1, ""
		case c == '#' && !inWord:
			end := strings.IndexByte(body[i:], '\n')
			if end < 0 {
				return words, "", lines, ""
			}
			i += end - 1
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case c == '\'' || c == '"':
			end := closing(body[i+1:], c)
			if end < 0 {
				return nil, "", 0, "a string begins here and never ends"
			}
			value := body[i+1 : i+1+end]
			lines += strings.Count(value, "\n")
			word.WriteString(unescaped(value, c))
			inWord = true
			i += end + 1
		case c == '\\' && i+1 < len(body) && body[i+1] != '\n':
			word.WriteByte(body[i+1])
			inWord = true
			i++
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, "", lines, ""
}

// closing is where a string ends; a backslash counts in double quotes only.
func closing(s string, quote byte) int {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote == '"':
			i++
		case s[i] == quote:
			return i
		}
	}
	return -1
}

func unescaped(s string, quote byte) string {
	if quote == '\'' || !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
