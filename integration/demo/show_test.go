package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"pbr/integration/lab"
)

// The colours of the show (ECMA-48, SGR).
const (
	bold  = "1"
	dim   = "2"
	green = "32"
	red   = "31"
	cyan  = "36"
)

// show is the demo: a network, the router's policy file, and a screen.
type show struct {
	*lab.Net
	t     *testing.T
	file  string
	steps int
	// tables names the tables and uplinks by their marks.
	tables map[uint32]string
	colour bool
}

func newShow(t *testing.T) *show {
	s := &show{Net: network(t), t: t, file: filepath.Join(t.TempDir(), "pbr.toml"), colour: coloured()}
	if err := os.WriteFile(s.file, []byte(policyText), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// coloured reports whether the show goes to a terminal whose user has nothing against colours
// (https://no-color.org).
func coloured() bool {
	info, err := stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// paint gives text a colour.
func (s *show) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// title starts the next step.
func (s *show) title(text string) {
	s.steps++
	fmt.Fprintf(stdout, "\n%s\n", s.paint(bold, fmt.Sprintf("%d. %s", s.steps, text)))
}

// say explains in one line.
func (s *show) say(line string) { fmt.Fprintf(stdout, "   %s\n", line) }

// print shows a text, indented; its comments and the ends of its lines step back.
func (s *show) print(text string) {
	for _, line := range strings.Split(strings.Trim(text, "\n"), "\n") {
		code, comment, found := strings.Cut(line, "#")
		if found {
			line = code + s.paint(dim, "#"+comment)
		}
		fmt.Fprintln(stdout, strings.TrimRight("   "+line, " "))
	}
}

// command runs pbr on the router and shows what it says. Another exit status than the wanted one
// ends the show.
func (s *show) command(name string, want int) {
	s.t.Helper()
	s.print(s.paint(cyan, "$ pbr "+name))
	res := s.Router.Exec(program, "--config", s.file, name)
	out := strings.ReplaceAll(res.Stdout+res.Stderr, s.file, "pbr.toml")
	if out == "" {
		out = fmt.Sprintf("(says nothing, exit status %d)", res.Code)
	}
	s.print(out)
	if res.Code != want {
		s.t.Fatalf("pbr %s: exit status %d, not %d", name, res.Code, want)
	}
}

// grid prints rows of cells in columns, the first row as a heading. The last cell of a row is not
// padded and may be coloured.
func (s *show) grid(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			if i < len(row)-1 {
				cell += strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
			}
			b.WriteString(cell)
		}
		line := strings.TrimRight(b.String(), " ")
		if n == 0 {
			line = s.paint(dim, line)
		}
		fmt.Fprintln(stdout, "   "+line)
	}
}
