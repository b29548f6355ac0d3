// Package typed reads what a page of the docs has users type.
package typed

import (
	"os"
	"strings"
	"testing"
)

// Commands returns the lines of a page that are typed: those of its code blocks that begin with
// "# ".
func Commands(t *testing.T, file string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		switch command, typed := strings.CutPrefix(line, "# "); {
		case strings.HasPrefix(line, "```"):
			inside = !inside
		case inside && typed:
			out = append(out, command)
		case inside:
			t.Errorf("%s: %q is not typed", file, line)
		}
	}
	return out
}

// Quickstart is what some commands of docs/quickstart.md have to show.
var Quickstart = map[string]string{
	"pbr version": "built in:",
	"pbr check":   "0 errors, 0 warnings",
	"pbr doctor":  " 0 fail",
	"pbr status":  "isp2",
}
