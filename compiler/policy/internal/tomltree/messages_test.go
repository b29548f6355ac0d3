package tomltree

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// report returns errors as lines: the place, what is wrong, what to write instead.
func report(errs []SyntaxError) (lines []string) {
	for _, e := range errs {
		text := e.Message
		if e.Hint != "" {
			text += ": " + e.Hint
		}
		lines = append(lines, fmt.Sprintf("%d:%d %s", e.Line, e.Col, text))
	}
	return lines
}

func TestAllSyntaxErrorsAtOnce(t *testing.T) {
	_, errs := Parse("[pbr]\na = nope\nb = 1\n[[uplink]\nname = 'x'\n[[table]]\nroutes = [\n  { uplink = 'x' }\n" +
		"  { uplink = 'y' },\n]\nstrict = yes\n")
	want := []string{
		`2:5 invalid value "nope": put text in double quotes: "nope"`,
		`4:10 the line ends in a table header: close it with "]]"`,
		`9:3 unexpected "{" in an array: separate elements with ","`,
		`11:10 invalid value "yes": write true`,
	}
	if got := report(errs); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Every message, with what to write instead.
func TestMessages(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"\xff\xfea\x00", []string{"1:1 the file is UTF-16: save the file as UTF-8"}},
		{"a\x00 \x00=\x00", []string{`1:2 unexpected "\x00" after the key "a": this is no text, or UTF-16: save the file as UTF-8`}},
		{"[\x00[\x00", []string{`1:2 unexpected "\x00" where a key should be: this is no text, or UTF-16: save the file as UTF-8`}},
		{"# ä\na = '\xe4'", []string{"2:6 byte 0xe4 is not UTF-8: save the file as UTF-8"}},
		{"a = 1 # \x00", []string{`1:9 control character '\x00' in a comment: delete it`}},
		{"a = \"\x1b\"", []string{`1:6 control character '\x1b' in a string: delete it, or write "\u001b" in double quotes`}},
		{"a = 1 b = 2", []string{`1:7 unexpected "b" after the end of the value: go on in a new line`}},
		{"a 1", []string{`1:3 unexpected "1" after the key "a": write a = value`}},
		{"a: 1", []string{`1:2 unexpected ":" after the key "a": write a = value`}},
		{"= 1", []string{`1:1 unexpected "=" where a key should be`}},
		{"grün = 1", []string{`1:3 unexpected "ü" after the key "gr": ` +
			`write keys of other characters than letters, digits, _ and - in double quotes`}},
		{"ß = 1", []string{`1:1 unexpected "ß" where a key should be: ` +
			`write keys of other characters than letters, digits, _ and - in double quotes`}},
		{"a =", []string{`1:4 the file ends where a value should be: write a value, as true, 53 or "text"`}},
		{"a = “x”", []string{`1:5 unexpected "“" where a value should be: write straight quotes: "`}},
		{"[a]]", []string{`1:4 unexpected "]" after the end of the header: go on in a new line`}},
		{"a = 010", []string{`1:5 invalid value "010": write 10: a number does not start with 0`}},
		{"a = 1__0", []string{`1:5 invalid value "1__0": write 10`}},
		{"a = -0x10", []string{`1:5 invalid value "-0x10": write -16`}},
		{"a = 9223372036854775808",
			[]string{`1:5 invalid value "9223372036854775808": write a number from -9223372036854775808 to 9223372036854775807`}},
		{"a = 10.0.0.0/8 # x", []string{`1:5 invalid value "10.0.0.0/8": put text in double quotes: "10.0.0.0/8"`}},
		{"a = OFF", []string{`1:5 invalid value "OFF": write false`}},
		{`a = "x`, []string{`1:5 the string that starts here is never closed: close it with "`}},
		{"a = 'x\nb = 1", []string{`1:5 the string that starts here is not closed on its line: close it with '`}},
		{"a = '''x", []string{`1:5 the string that starts here is never closed: close it with '''`}},
		{`a = "C:\p"`, []string{`1:8 invalid escape \p: write a backslash as \\, or put the text in single quotes`}},
		{"a = \"x\\\nb = 1", []string{`1:7 the line ends after a backslash: write a backslash as \\, or put the text in single quotes`}},
		{`a = "\ud800"`, []string{`1:6 invalid escape \u: write \u and 4 hexadecimal digits of a Unicode character`}},
		{"a = [ 80, 443\nb = 1\nc", []string{`1:5 the array that starts here is never closed: close it with "]"`,
			`3:2 the file ends after the key "c": write c = value`}},
		{"a = [ 80, 443\n[[b]]\nc", []string{`1:5 the array that starts here is never closed: close it with "]"`,
			`3:2 the file ends after the key "c": write c = value`}},
		{"a = [ 80, 443\n", []string{`1:5 the array that starts here is never closed: close it with "]"`}},
		{"a = [ 80 443 ]", []string{`1:10 unexpected "4" in an array: separate elements with ","`}},
		{"a = { b = 1\n[c]\n", []string{`1:5 the inline table that starts here is never closed: close it with "}"`}},
		{"a = { b = 1\nc = 2 }\n", []string{`2:1 unexpected "c" in an inline table: separate keys with ","`}},
		{"a = " + strings.Repeat("[", 200), []string{"1:105 values are nested more than 100 deep"}},
		{strings.Repeat("a.", 40) + "a = 1", []string{"1:66 the key has more than 32 parts"}},
		{"a = 1\na = 2\n[a]", []string{`2:1 "a" is set twice, first at line 1`, `3:2 "a" is defined twice, first at line 1`}},
		{"a = 1\n[a.b]", []string{`2:2 "a" is a value and cannot hold a table`}},
	} {
		t.Run(c.text, func(t *testing.T) {
			if _, errs := Parse(c.text); !slices.Equal(report(errs), c.want) {
				t.Errorf("%q:\ngot  %q\nwant %q", c.text, report(errs), c.want)
			}
		})
	}
}
