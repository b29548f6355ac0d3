package render

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text          string
		width, indent int
		want          string
	}{
		{"one two three four five six", 0, 4, "one two three four five six"},
		{"one two three four five six", 80, 4, "one two three four five six"},
		{"one two three four five six", 24, 4, "one two three four\n    five six"},
		{"one two three four five six", 23, 4, "one two three four five six"}, // no room
		{"ääää öööö üüüü ßßßß éé", 24, 0, "ääää öööö üüüü ßßßß éé"},
		{"a http://a.very.long.address.of.some.host/ b", 24, 2, "a\n  http://a.very.long.address.of.some.host/\n  b"},
		{"", 24, 2, ""},
	} {
		t.Run(c.text, func(t *testing.T) {
			got := Wrap(c.text, c.width, c.indent)
			if got != c.want {
				t.Errorf("%q in %d from %d: %q, want %q", c.text, c.width, c.indent, got, c.want)
			}
			if words := strings.Join(strings.Fields(got), " "); words != c.text {
				t.Errorf("%q lost something: %q", c.text, got)
			}
		})
	}
	if got := Wrap(strings.Repeat("word ", 100), 40, 7); utf8.RuneCountInString(strings.Split(got, "\n")[1]) > 40 {
		t.Errorf("too wide:\n%s", got)
	}
}
