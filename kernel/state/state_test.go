package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/steps"
)

type note struct{ Text string }

func TestSaveAndLoad(t *testing.T) {
	d := Dir{path: filepath.Join(t.TempDir(), "a", "pbr")}
	var got note
	step := steps.Of(t)
	step.Run("nothing is saved yet", func(t *testing.T) {
		if err := d.Load("note.json", &got); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("nothing saved yet: %v", err)
		}
	})
	step.Run("what was saved last is loaded", func(t *testing.T) {
		for _, text := range []string{"long enough to be seen if it stays", "short"} {
			if err := d.Save("note.json", note{text}); err != nil {
				t.Fatal(err)
			}
			if err := d.Load("note.json", &got); err != nil || got.Text != text {
				t.Errorf("got %q, %v; want %q", got.Text, err, text)
			}
		}
	})
	step.Run("removed it is gone, and can be removed again", func(t *testing.T) {
		if err := errors.Join(d.Remove("note.json"), d.Remove("note.json")); err != nil {
			t.Error(err)
		}
		if err := d.Load("note.json", &got); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("removed: %v", err)
		}
	})
}

// What a killed run left half written, and files and directories of an older mode, end as they
// should be.
func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pbr")
	d := Dir{path: dir}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"note.json", "note.json" + TempSuffix} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"Text":`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(d.Save("note.json", note{"x"}), d.Sub("quota").Save("note.json", note{"y"})); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{
		dir: fs.ModeDir | 0o700, d.Path("note.json"): 0o600, d.Path("quota"): fs.ModeDir | 0o700, d.Path("quota", "note.json"): 0o600,
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			info, err := os.Stat(path)
			if err != nil || info.Mode() != want {
				t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
			}
		})
	}
	t.Run("the temporary file is gone", func(t *testing.T) {
		if _, err := os.Stat(d.Path("note.json" + TempSuffix)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the temporary file: %v", err)
		}
	})
}

// A torn file is told apart from one that cannot be read, and can be replaced.
func TestTornFile(t *testing.T) {
	d := Dir{path: t.TempDir()}
	for _, torn := range []string{"", `{"Text":"ha`, "\x00\x00\x00\x00", `{"Text":5}`} {
		t.Run(fmt.Sprintf("%q", torn), func(t *testing.T) {
			if err := os.WriteFile(d.Path("note.json"), []byte(torn), 0o600); err != nil {
				t.Fatal(err)
			}
			var got note
			var damaged *DamagedError
			if err := d.Load("note.json", &got); !errors.As(err, &damaged) || !strings.Contains(err.Error(), d.Path("note.json")) {
				t.Errorf("%q: %v", torn, err)
			}
			if err := d.Save("note.json", note{"whole"}); err != nil {
				t.Error(err)
			}
			if err := d.Load("note.json", &got); err != nil || got.Text != "whole" {
				t.Errorf("after %q: %q, %v", torn, got.Text, err)
			}
		})
	}
}

// A failed write leaves the file as it was.
func TestFailedWrite(t *testing.T) {
	d := Dir{path: t.TempDir()}
	if err := d.Save("note.json", note{"kept"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.Path("note.json"+TempSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Save("note.json", note{"lost"}); err == nil {
		t.Error("writing into a directory's place succeeded")
	}
	var got note
	if err := d.Load("note.json", &got); err != nil || got.Text != "kept" {
		t.Errorf("%q, %v", got.Text, err)
	}
}

func TestFind(t *testing.T) {
	names, own, other := t.TempDir(), filepath.Join(t.TempDir(), "own"), filepath.Join(t.TempDir(), "other")
	for _, f := range []string{own, other} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Hard links stand for the mounts that ip netns makes.
	if err := errors.Join(os.Link(other, filepath.Join(names, "a")), os.Link(own, filepath.Join(names, "b"))); err != nil {
		t.Fatal(err)
	}
	base := place{lasting: "/var/lib/pbr", names: names, runDir: "/run/pbr/net-5", own: own}
	for _, c := range []struct {
		name    string
		change  func(*place)
		want    string
		lasting bool
	}{
		{"unit", func(p *place) { p.variable, p.first = "/var/lib/private/pbr:/x", true }, "/var/lib/private/pbr", true},
		{"process 1", func(p *place) { p.first = true }, "/var/lib/pbr", true},
		{"named", func(*place) {}, "/var/lib/pbr/netns/b", true},
		{"unnamed", func(p *place) { p.names = filepath.Join(names, "none") }, "/run/pbr/net-5/state", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := base
			c.change(&p)
			d := find(p)
			if d.Path() != c.want || d.Lasting() != c.lasting || (d.Temporary() == "") != c.lasting {
				t.Errorf("%s: %s, lasting %v, %q; want %s", c.name, d.Path(), d.Lasting(), d.Temporary(), c.want)
			}
		})
	}
}
