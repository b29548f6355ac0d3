package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"pbr/compiler/policy"
)

// Escape sequences that only findings use (ECMA-48, SGR).
const (
	bold   = "\x1b[1m"
	yellow = "\x1b[33m"
)

// Diagnostics writes findings about a policy file: place, severity, message and code, then the line
// of the file with a caret below the place, then a hint; after foldAfter findings of one code only
// how many more there are. source returns the content of a file, nil if it is not to be had.
//
// Messages and hints that are wider than columns are broken, and lines of the file are flushed
// around the mark; columns 0 leaves all as it is, but for lines that nobody could read.
//
//	pbr.toml:12:12: error: uplink "isp3" does not exist [unknown-uplink]
//	   |
//	12 | uplink   = "isp3"
//	   |            ^~~~~~
//	   = hint: did you mean "isp2"?
func Diagnostics(w io.Writer, ds policy.Diagnostics, source func(file string) []byte, colour bool, columns int) error {
	paint := func(sequence, s string) string {
		if !colour {
			return s
		}
		return sequence + s + reset
	}
	lines := sourceLines{source: source, files: map[string][][]byte{}}
	var b bytes.Buffer
	seen := map[string]int{}
	var folded []string
	for _, d := range ds {
		seen[d.Code]++
		if n := seen[d.Code]; n > foldAfter {
			if n == foldAfter+1 {
				folded = append(folded, d.Code)
			}
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		severity, tint := severityName(d.Severity), red
		if d.Severity == policy.Warning {
			tint = yellow
		}
		lead := utf8.RuneCountInString(d.Pos.String()+severity) + len(": : ")
		message := fmt.Sprintf("%s [%s]", appendLine(nil, d.Message), d.Code)
		fmt.Fprintf(&b, "%s: %s %s\n", paint(bold, d.Pos.String()), paint(tint, severity+":"),
			wrapBehind(lead, message, columns, messageIndent))
		margin := ""
		if line, ok := lines.at(d.Pos); ok {
			number := fmt.Sprint(d.Pos.Line)
			margin = strings.Repeat(" ", len(number))
			line, col := excerpt(line, d.Pos.Col, columns-len(margin)-len(" | "))
			fmt.Fprintf(&b, "%s |\n%s | %s\n%s | ", margin, number, printable(line), margin)
			space, mark := caret(line, col)
			fmt.Fprintf(&b, "%s%s\n", space, paint(tint, mark))
		}
		if d.Hint != "" {
			fmt.Fprintf(&b, "%s = %s %s\n", margin, paint(cyan, "hint:"),
				Wrap(string(appendLine(nil, d.Hint)), columns, len(margin)+len(" = hint: ")))
		}
	}
	for _, code := range folded {
		fmt.Fprintf(&b, "\nand %d more of [%s]: pbr check --json lists all of them\n", seen[code]-foldAfter, code)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing findings: %w", err)
	}
	return nil
}

// messageIndent is how far a message's lines behind its first one are indented.
const messageIndent = 4

// maxExcerpt is how much of a line is shown where there is no terminal that has a width.
const maxExcerpt = 1000

// excerpt cuts a line that is wider than width around a column (1-based), and returns the column in
// what is left.
func excerpt(line []byte, col, width int) ([]byte, int) {
	const narrow = 20 // there is no use in less
	if width < narrow {
		width = maxExcerpt
	}
	length := utf8.RuneCount(line)
	if length <= width {
		return line, col
	}
	from := 0
	if col > width*2/3 {
		from = max(min(col-width/3, length-width), 0)
	}
	start := runes(line, from)
	cut := []rune(string(line[start : start+runes(line[start:], width)]))
	if from > 0 {
		cut[0] = '…'
	}
	if from+width < length {
		cut[len(cut)-1] = '…'
	}
	return []byte(string(cut)), col - from
}

// runes is how many bytes the first n characters of a text have.
func runes(text []byte, n int) (size int) {
	for range n {
		_, one := utf8.DecodeRune(text[size:])
		size += one
	}
	return size
}

func severityName(s policy.Severity) string {
	if s == policy.Warning {
		return "warning"
	}
	return "error"
}

// sourceLines keeps the lines of the files that findings are in.
type sourceLines struct {
	source func(file string) []byte
	files  map[string][][]byte
}

// at returns the line of a place, if there is one.
func (s *sourceLines) at(p policy.Pos) (line []byte, ok bool) {
	if p.Line < 1 || s.source == nil {
		return nil, false
	}
	lines, known := s.files[p.File]
	if !known {
		if text := s.source(p.File); text != nil {
			lines = bytes.Split(text, []byte{'\n'})
		}
		s.files[p.File] = lines
	}
	if p.Line > len(lines) {
		return nil, false
	}
	return bytes.TrimRight(lines[p.Line-1], "\r"), true
}

// printable returns a source line without control characters other than tabs.
func printable(line []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, string(line))
}

// caret returns what to write below a line so that the mark stands below column col (1-based, in
// characters), tabs kept, and the mark, which underlines the word or string that begins there.
func caret(line []byte, col int) (space, mark string) {
	text := []rune(string(line))
	col = min(max(col-1, 0), len(text))
	space = strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(text[:col]))
	n := utf8.RuneCount(word([]byte(string(text[col:]))))
	return space, "^" + strings.Repeat("~", max(n-1, 0))
}

// word returns the TOML word, number or string that text begins with.
func word(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	if q := text[0]; q == '"' || q == '\'' {
		if i := bytes.IndexByte(text[1:], q); i >= 0 {
			return text[:i+2]
		}
		return text[:1]
	}
	if i := bytes.IndexAny(text, " \t=,[]{}#"); i > 0 {
		return text[:i]
	} else if i == 0 {
		return text[:1]
	}
	return text
}

// diagnosticView is a finding in JSON.
type diagnosticView struct {
	File string `json:"file"`
	// Line and Column are 1-based and absent for the file as a whole.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Severity is "error" or "warning".
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Key      string `json:"key,omitempty"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// DiagnosticsJSON writes findings as a JSON object with a list of objects with file, line, column,
// severity, code, key, message and hint; an empty list when there are none.
func DiagnosticsJSON(w io.Writer, ds policy.Diagnostics) error {
	views := make([]diagnosticView, 0, len(ds))
	for _, d := range ds {
		views = append(views, diagnosticView{
			File: d.Pos.File, Line: d.Pos.Line, Column: d.Pos.Col, Severity: severityName(d.Severity),
			Code: d.Code, Key: d.Key, Message: d.Message, Hint: d.Hint,
		})
	}
	return writeJSON(w, struct {
		Diagnostics []diagnosticView `json:"diagnostics"`
	}{views})
}

// writeJSON writes v indented, as every JSON that people may also read.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}
