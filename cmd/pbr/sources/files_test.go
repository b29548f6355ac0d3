//go:build linux

package sources

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestFilesAreTold follows files through what editors, package managers and links do with them.
func TestFilesAreTold(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(file string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(at("sub"), 0o700))
	write(at("a"))
	write(at("sub/target"))
	must(os.Symlink("sub/target", at("link")))
	f := WatchFiles(t.Context(), slog.New(slog.DiscardHandler))
	f.Follow(t.Context(), []string{at("a"), at("link"), at("later/b")})
	told := func(what string, want ...string) {
		t.Helper()
		select {
		case got := <-f.Changed():
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: nothing was told", what)
		}
	}
	told("at first", at("a"), at("link"))
	write(at("a"))
	told("written in place", at("a"))
	write(at("a.new"))
	must(os.Rename(at("a.new"), at("a")))
	told("replaced", at("a"))
	write(at("sub/target"))
	told("a link's target", at("link"))
	must(os.Mkdir(at("made"), 0o700))
	write(at("made/b"))
	must(os.Rename(at("made"), at("later")))
	told("in a directory that came later", at("later/b"))

	// A file that is being written is not told of, whatever else happens.
	half, err := os.OpenFile(at("a"), os.O_WRONLY, 0)
	must(err)
	_, err = half.WriteString("half")
	must(err)
	write(at("sub/target"))
	told("beside a file that is being written", at("link"))
	must(half.Close())
	told("closed", at("a"))

	// Another file of the directory is nobody's business: the next thing told is the link.
	write(at("other"))
	write(at("sub/target"))
	told("besides another file", at("link"))
}
