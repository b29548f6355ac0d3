package render

import (
	"strings"
	"unicode/utf8"
)

// wrapBehind is Wrap for text that stands behind a lead of that many columns, which is at least the
// indent of the lines after it.
func wrapBehind(lead int, text string, width, indent int) string {
	filler := strings.Repeat("x", max(lead-indent, 0))
	return strings.TrimPrefix(Wrap(filler+text, width, indent), filler)
}

// Wrap breaks text between words so that no line is wider than width, where its first line begins
// at column indent, as the others do: they are indented by spaces. A word that is wider stays
// whole. With width 0, as of what is not a terminal, and where there is no room for a few words,
// the text stays as it is.
func Wrap(text string, width, indent int) string {
	const fewWords = 20
	if width < indent+fewWords {
		return text
	}
	var b strings.Builder
	at := indent
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}
