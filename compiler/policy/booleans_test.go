package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// The keys that booleans names are those that the sections read as booleans; target reads default
// by a variable.
func TestBooleans(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := []string{"default"}
	reads := regexp.MustCompile(`\.boolean\("([a-z-]+)"`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range reads.FindAllSubmatch(text, -1) {
			found = append(found, string(m[1]))
		}
	}
	slices.Sort(found)
	if found = slices.Compact(found); !slices.Equal(found, booleans) {
		t.Errorf("the keys read as booleans are %q, and the list has %q", found, booleans)
	}
}
