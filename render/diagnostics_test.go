package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pbr/compiler/policy"
)

func testDiagnostics() policy.Diagnostics {
	at := func(line, col int) policy.Pos { return policy.Pos{File: "pbr.toml", Line: line, Col: col} }
	return policy.Diagnostics{
		{Pos: at(0, 0), Code: "read", Message: "no such file"},
		{Pos: at(2, 10), Code: "unknown-uplink", Key: "policy.uplink", Message: `uplink "isp3" does not exist`,
			Hint: `did you mean "isp2"?`},
		{Pos: at(3, 2), Severity: policy.Warning, Code: "never-matches", Message: "policy voip:\nnever matches"},
		{Pos: at(9, 1), Code: "gone", Message: "beyond the end", Hint: "look elsewhere"},
	}
}

const testSource = "[[policy]]\nuplink = \"isp3\" # \x1b[31mred\n\tüber = [1]\r\n"

func TestDiagnosticsText(t *testing.T) {
	reads := 0
	source := func(file string) []byte {
		reads++
		if file != "pbr.toml" {
			t.Errorf("asked for %s", file)
		}
		return []byte(testSource)
	}
	const want = `pbr.toml: error: no such file [read]

pbr.toml:2:10: error: uplink "isp3" does not exist [unknown-uplink]
  |
2 | uplink = "isp3" #  [31mred
  |          ^~~~~~
  = hint: did you mean "isp2"?

pbr.toml:3:2: warning: policy voip: never matches [never-matches]
  |
3 | 	über = [1]
  | 	^~~~

pbr.toml:9:1: error: beyond the end [gone]
 = hint: look elsewhere
`
	t.Run("each is shown with its place and its hint", func(t *testing.T) {
		got := text(t, func(b *bytes.Buffer) error { return Diagnostics(b, testDiagnostics(), source, false, 0) })
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
	t.Run("a file is read once", func(t *testing.T) {
		if reads != 1 {
			t.Errorf("the file was read %d times", reads)
		}
	})
}

// Of many findings of one code the first are printed, and the number of the others.
func TestDiagnosticsFold(t *testing.T) {
	var ds policy.Diagnostics
	for i := range 30 {
		ds = append(ds, policy.Diagnostic{Pos: policy.Pos{File: "pbr.toml", Line: i + 1, Col: 1},
			Severity: policy.Warning, Code: "covered", Message: "covered"})
	}
	ds = append(ds, policy.Diagnostic{Pos: policy.Pos{File: "pbr.toml", Line: 40, Col: 1}, Code: "gone", Message: "last"})
	got := text(t, func(b *bytes.Buffer) error { return Diagnostics(b, ds, nil, false, 0) })
	if strings.Count(got, "warning: covered") != foldAfter ||
		!strings.Contains(got, "error: last [gone]\n\nand 10 more of [covered]: pbr check --json") {
		t.Errorf("got\n%s", got)
	}
}

func TestDiagnosticsColour(t *testing.T) {
	ds := testDiagnostics()[2:3]
	got := text(t, func(b *bytes.Buffer) error { return Diagnostics(b, ds, nil, true, 0) })
	if want := "\x1b[1mpbr.toml:3:2\x1b[m: \x1b[33mwarning:\x1b[m policy voip: never matches [never-matches]\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCaret(t *testing.T) {
	for _, c := range []struct {
		line        string
		col         int
		space, mark string
	}{
		{`a = "x y"`, 5, "    ", "^~~~~"},
		{`a = 'x' # c`, 5, "    ", "^~~"},
		{`a = "open`, 5, "    ", "^"},
		{"\ta = 1", 2, "\t", "^"},
		{`a = ["x"]`, 5, "    ", "^"},
		{`naïve.key = 1`, 1, "", "^~~~~~~~~"},
		{`a = ["é", "b"]`, 11, "          ", "^~~"},
		{`a`, 99, " ", "^"},
		{``, 1, "", "^"},
		{`abc`, 0, "", "^~~"},
	} {
		t.Run(c.line, func(t *testing.T) {
			if space, mark := caret([]byte(c.line), c.col); space != c.space || mark != c.mark {
				t.Errorf("%q at %d: got %q %q, want %q %q", c.line, c.col, space, mark, c.space, c.mark)
			}
		})
	}
}

func TestDiagnosticsJSON(t *testing.T) {
	out := text(t, func(b *bytes.Buffer) error { return DiagnosticsJSON(b, testDiagnostics()[1:3]) })
	var all struct{ Diagnostics []map[string]any }
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	got := all.Diagnostics
	want := map[string]any{"file": "pbr.toml", "line": 2., "column": 10., "severity": "error", "code": "unknown-uplink",
		"key": "policy.uplink", "message": `uplink "isp3" does not exist`, "hint": `did you mean "isp2"?`}
	for k, v := range want {
		t.Run(k, func(t *testing.T) {
			if got[0][k] != v {
				t.Errorf("%s is %v, not %v", k, got[0][k], v)
			}
		})
	}
	if len(got) != 2 || len(got[0]) != len(want) || got[1]["severity"] != "warning" {
		t.Errorf("got %s", out)
	}
	if out := text(t, func(b *bytes.Buffer) error { return DiagnosticsJSON(b, nil) }); out != "{\n  \"diagnostics\": []\n}\n" {
		t.Errorf("none: %q", out)
	}
}

// On a terminal nothing of a finding is wider than it, and the mark stays below its place.
func TestDiagnosticsFitTheTerminal(t *testing.T) {
	long := strings.Repeat("x = 1; ", 30) + `uplink = "isp3"` + strings.Repeat(" # more", 30)
	ds := policy.Diagnostics{{
		Pos: policy.Pos{File: "pbr.toml", Line: 1, Col: strings.Index(long, `"isp3"`) + 1}, Code: "unknown-uplink",
		Message: strings.Repeat("what is wrong ", 20), Hint: strings.Repeat("what to do ", 20),
	}}
	source := func(string) []byte { return []byte(long) }
	for _, columns := range []int{40, 60, 80} {
		t.Run(fmt.Sprint(columns, " columns"), func(t *testing.T) {
			got := text(t, func(b *bytes.Buffer) error { return Diagnostics(b, ds, source, false, columns) })
			lines := strings.Split(got, "\n")
			place, mark := -1, -1
			for _, l := range lines {
				if n := utf8.RuneCountInString(l); n > columns {
					t.Errorf("%d columns: %d: %q", columns, n, l)
				}
				if before, _, found := strings.Cut(l, `"isp3"`); found {
					place = utf8.RuneCountInString(before)
				}
				if before, _, found := strings.Cut(l, "^~~~~~"); found {
					mark = utf8.RuneCountInString(before)
				}
			}
			if place < 0 || place != mark {
				t.Errorf("%d columns: the mark is at %d, its place at %d:\n%s", columns, mark, place, got)
			}
		})
	}
}

// Of a line of a mebibyte only what is around the mark is shown, also where there is no terminal.
func TestDiagnosticsOfAnEndlessLine(t *testing.T) {
	line := strings.Repeat("ä", 1<<19) + "!" + strings.Repeat("ö", 1<<19)
	ds := policy.Diagnostics{{Pos: policy.Pos{File: "p", Line: 1, Col: 1<<19 + 1}, Message: "there", Code: "syntax"}}
	got := text(t, func(b *bytes.Buffer) error {
		return Diagnostics(b, ds, func(string) []byte { return []byte(line) }, false, 0)
	})
	if len(got) > 5*maxExcerpt || !strings.Contains(got, "ä!ö") {
		t.Fatalf("%d bytes: %.300q", len(got), got)
	}
	lines := strings.Split(got, "\n")
	shown, mark := []rune(lines[2]), []rune(lines[3])
	if at := slices.Index(mark, '^'); at < 0 || shown[at] != '!' {
		t.Errorf("the mark is at column %d of %q", at, lines[2])
	}
}
