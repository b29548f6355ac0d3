package tomltree

import (
	"strings"
	"testing"
)

// Each line of a text that says MARK is found where MARK stands in the file.
func TestLineIn(t *testing.T) {
	for _, src := range []string{
		"x = 1\nk = \"MARK\"", "k = \"a\\nMARK\"", "k = '''MARK'''", "k = '''\nMARK'''", "\n\nk = \"\"\"\r\na\r\nMARK\r\n\"\"\"",
		"k = '''\na\\\nMARK'''", "k = \"\"\"\na \\\n   \n  b\nMARK\"\"\"",
		"e = 1\nt = { u = \"ö\", k = \"\"\"\n\"a\"\n\nMARK\"\"\" }", "\uFEFFk = '''\na\nMARK'''",
		"k = \"\"\"a\\nb\\\\\nMARK\"\"\"",
	} {
		t.Run(src, func(t *testing.T) {
			tree, errs := Parse(src)
			if len(errs) > 0 {
				t.Fatalf("%q: %v", src, errs)
			}
			f := tree.Get("k")
			if inner := tree.Get("t"); inner != nil {
				f = inner.Value.Fields.Get("k")
			}
			line := 1 + strings.Count(f.Value.Text[:strings.Index(f.Value.Text, "MARK")], "\n")
			want := int32(1 + strings.Count(src[:strings.Index(src, "MARK")], "\n"))
			if got := LineIn(src, &f.Value, line); got != want {
				t.Errorf("%q: line %d of the text is line %d, not %d", src, line, got, want)
			}
		})
	}
}
