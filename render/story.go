package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"pbr/compiler/explain"
)

// storyWidth is how many columns a terminal has at least.
const storyWidth = 80

// Story writes a packet's way as a tree.
func Story(w io.Writer, s *explain.Story, colour bool) error {
	paint := func(sequence, s string) string {
		if !colour || sequence == "" {
			return s
		}
		return sequence + s + reset
	}
	label := 0
	for _, step := range s.Steps {
		label = max(label, utf8.RuneCountInString(step.What))
	}
	var b bytes.Buffer
	for _, line := range wrapped(s.Title, storyWidth) {
		fmt.Fprintln(&b, paint(bold, line))
	}
	for i, step := range s.Steps {
		branch, stem := "├─ ", "│  "
		if i == len(s.Steps)-1 {
			branch, stem = "└─ ", "   "
		}
		indent := stem + strings.Repeat(" ", label+2)
		for j, line := range wrapped(step.Text, storyWidth-len([]rune(indent))) {
			head := indent
			if j == 0 {
				head = branch + paint(bold, step.What) + strings.Repeat(" ", label+2-utf8.RuneCountInString(step.What))
			}
			fmt.Fprintln(&b, head+paint(tints[step.Tone], line))
		}
		for _, more := range step.More {
			for j, line := range wrapped(more, storyWidth-len([]rune(indent))-2) {
				bullet := "- "
				if j > 0 {
					bullet = "  "
				}
				fmt.Fprintln(&b, indent+bullet+paint(cyan, line))
			}
		}
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the explanation: %w", err)
	}
	return nil
}

// tints are the colours of tones.
var tints = map[explain.Tone]string{explain.Good: green, explain.Bad: red}

// wrapped breaks a text at blanks, or where it must.
func wrapped(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(printable([]byte(text))) {
		for utf8.RuneCountInString(word) > width {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			runes := []rune(word)
			lines, word = append(lines, string(runes[:width])), string(runes[width:])
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
