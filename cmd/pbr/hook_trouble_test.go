package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A hook has to be there, executable, and safe from others, as have the directories above it.
func TestHookTrouble(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	inOpen := filepath.Join(open, "hook")
	linked := filepath.Join(t.TempDir(), "link")
	for _, err := range []error{os.Mkdir(open, 0o700), os.WriteFile(inOpen, nil, 0o700), os.Chmod(open, 0o777),
		os.Symlink(inOpen, linked)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	writable := script(t, "", 0o755)
	if err := os.Chmod(writable, 0o757); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name       string
		path, want string
	}{
		{"it may run", script(t, "", 0o755), ""},
		{"it is not executable", script(t, "", 0o644), "not executable: chmod +x"},
		{"it is a directory", t.TempDir(), "not a regular file"},
		{"it does not exist", "/nonexistent/hook", "no such file"},
		{"others may write to it", writable, "others may write to " + writable + ", and pbr watch runs it as root: chmod go-w " + writable},
		{"others may write to a directory above it", filepath.Join(open, "..", "open", "hook"), "others may write to " + open},
		{"it leads to where others may write", linked, "others may write to " + open},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ""
			if found := hookTroubleBelow(filepath.Dir(row.path), row.path); found != nil {
				got = found.text + ": " + found.do
			}
			if row.want == "" && got != "" || !strings.Contains(got, row.want) {
				t.Errorf("%s: %q, not %q", row.path, got, row.want)
			}
		})
	}
}
