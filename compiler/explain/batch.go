package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Line answers one question of a batch, a line of JSON, and appends the answer, a line too; nothing
// for an empty line.
func (x *Explainer) Line(b []byte, line []byte, resolve Resolver) []byte {
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return b
	}
	var t Text
	id, err := parse(line, &t)
	if err == nil {
		var a *Answer
		if a, err = x.ask(&t, resolve); err == nil {
			return append(a.AppendJSON(b, id), '\n')
		}
	}
	return append(AppendError(b, id, err.Error()), '\n')
}

// parse reads an object of texts and numbers. What is written in a less usual way is left to the
// library.
func parse(line []byte, t *Text) (id string, err error) {
	s := scanner{rest: line}
	if id, ok := s.object(t); ok {
		return id, nil
	}
	*t = Text{}
	return parseSlowly(line, t)
}

// scanner reads the usual form of a question.
type scanner struct{ rest []byte }

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t') {
		s.rest = s.rest[1:]
	}
}

func (s *scanner) take(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// text is a string without escapes.
func (s *scanner) text() (string, bool) {
	if !s.take('"') {
		return "", false
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			text := string(s.rest[:i])
			s.rest = s.rest[i+1:]
			return text, true
		case c == '\\' || c < ' ' || c >= 0x7f:
			return "", false
		}
	}
	return "", false
}

// number is a small number that is not negative.
func (s *scanner) number() (string, bool) {
	s.space()
	n := 0
	for n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		n++
	}
	if n == 0 || n > 10 || n > 1 && s.rest[0] == '0' {
		return "", false
	}
	text := string(s.rest[:n])
	s.rest = s.rest[n:]
	return text, true
}

func (s *scanner) object(t *Text) (id string, ok bool) {
	if !s.take('{') {
		return "", false
	}
	for {
		key, ok := s.text()
		if !ok || !s.take(':') {
			return "", false
		}
		s.space()
		text := ""
		quoted := len(s.rest) > 0 && s.rest[0] == '"'
		if quoted {
			text, ok = s.text()
		} else {
			text, ok = s.number()
		}
		switch {
		case !ok:
			return "", false
		case key == "id" && quoted:
			id = `"` + text + `"`
		case key == "id":
			id = text
		case text == "" || !t.Set(key, text):
			return "", false
		}
		if s.take(',') {
			continue
		}
		return id, s.take('}') && len(bytes.TrimSpace(s.rest)) == 0
	}
}

// parseSlowly reads any JSON, and says what is wrong with it.
func parseSlowly(line []byte, t *Text) (id string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil || fields == nil {
		return "", errors.New("not a JSON object: write one question a line, such as {\"in\": \"br-lan\", " +
			"\"src\": \"192.168.1.7\", \"dst\": \"9.9.9.9\", \"proto\": \"udp\", \"dport\": 53}")
	}
	var compact bytes.Buffer
	if raw, ok := fields["id"]; ok {
		if err := json.Compact(&compact, raw); err == nil {
			id = compact.String()
		}
		delete(fields, "id")
	}
	for key, raw := range fields {
		text, err := textOf(raw)
		if err != nil {
			return id, fmt.Errorf("%s: %w", key, err)
		}
		if !t.Set(key, text) {
			return id, fmt.Errorf("unknown key %q: the keys are id, %s", key, strings.Join(Keys[:], ", "))
		}
	}
	return id, nil
}

// textOf is a value as the command line would have it; null is an absent one.
func textOf(raw json.RawMessage) (string, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err == nil {
		return text, nil
	}
	if v := string(bytes.TrimSpace(raw)); v != "" && strings.Trim(v, "0123456789") == "" {
		return v, nil
	}
	return "", errors.New("must be a string or a number")
}
