package routeros

import (
	"os"
	"strings"
	"testing"

	"pbr/compiler/from"
)

// The example of docs/from-routeros.md is what comes out.
func TestDocsExample(t *testing.T) {
	text, err := os.ReadFile("../../../docs/from-routeros.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "## Before and after")
	parts := strings.Split(after, "```")
	if len(parts) < 4 {
		t.Fatal("no example")
	}
	r, err := Import([]byte(parts[1]),
		from.Options{File: "office.rsc", Rename: map[string]string{"bridge": "br-lan", "ether1": "wan1", "ether2": "wan2"}})
	if err != nil {
		t.Fatal(err)
	}
	// The fence's own line is not the export's.
	if want := strings.TrimPrefix(parts[3], "toml\n"); !equalButLines(want, r.Policy) {
		t.Errorf("docs/from-routeros.md has\n%s\nand what comes out is\n%s", want, r.Policy)
	}
}

// equalButLines reports whether policies differ in nothing but the line numbers of their comments.
func equalButLines(a, b string) bool {
	strip := func(s string) string {
		var out []string
		for line := range strings.SplitSeq(s, "\n") {
			if before, _, ok := strings.Cut(line, "office.rsc:"); ok {
				line = before
			}
			out = append(out, line)
		}
		return strings.Join(out, "\n")
	}
	return strip(a) == strip(b)
}
