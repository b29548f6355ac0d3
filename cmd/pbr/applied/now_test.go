package applied

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pbr/integration/steps"
)

func TestIs(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, errors.Join(os.Mkdir(at("etc"), 0o755), os.Symlink(at("etc"), at("link")), os.Symlink(at("etc/pbr.toml"), at("pbr.toml"))))
	for _, name := range []string{"etc/pbr.toml", "etc/other.toml", "etc/same.toml"} {
		write(t, at(name), text)
	}
	write(t, at("etc/other.toml"), text+"# other\n")
	must(t, os.Link(at("etc/pbr.toml"), at("etc/hard.toml")))
	t.Chdir(dir)
	file, other := &Policy{Hash: "1"}, &Policy{Hash: "2"}
	for _, c := range []struct {
		does, name, path string
		text             *Policy
		want             bool
	}{
		{"the same name", at("etc/pbr.toml"), at("etc/pbr.toml"), file, true},
		{"edited since", at("etc/pbr.toml"), at("etc/pbr.toml"), other, true},
		{"a relative name", "etc/pbr.toml", at("etc/pbr.toml"), other, true},
		{"another spelling", at("etc/../etc/pbr.toml"), at("etc/pbr.toml"), other, true},
		{"a link to it", at("pbr.toml"), at("etc/pbr.toml"), other, true},
		{"applied by a link", at("etc/pbr.toml"), at("pbr.toml"), other, true},
		{"in a linked directory", at("link/pbr.toml"), at("etc/pbr.toml"), other, true},
		{"a hard link", at("etc/hard.toml"), at("etc/pbr.toml"), other, true},
		{"gone", at("etc/gone.toml"), at("etc/gone.toml"), nil, true},
		{"gone, in a linked directory", at("link/gone.toml"), at("etc/gone.toml"), nil, true},
		{"gone with its directory", at("gone/pbr.toml"), at("gone/pbr.toml"), nil, true},
		{"the same text by another name", at("etc/same.toml"), at("etc/pbr.toml"), file, true},
		{"another text by another name", at("etc/other.toml"), at("etc/pbr.toml"), other, false},
		{"another one that is gone", at("etc/gone.toml"), at("etc/pbr.toml"), nil, false},
		{"another one while it is gone itself", at("etc/pbr.toml"), at("etc/gone.toml"), other, false},
		{"a pipe, the same text", "/dev/stdin", "", file, true},
		{"a pipe, another text", "/dev/stdin", "", other, false},
		{"a pipe, and a file that is gone", at("etc/gone.toml"), "", nil, false},
	} {
		t.Run(c.does, func(t *testing.T) {
			if is := (&InForce{Path: c.path, Hash: file.Hash}).Is(c.name, c.text); is != c.want {
				t.Errorf("%s is the policy in force, from %s: %t", c.name, c.path, is)
			}
		})
	}
}

// A trial is in force while it waits, and nothing of it afterwards.
func TestNow(t *testing.T) {
	file, _ := written(t)
	s, kept := store(t), read(t, file)
	write(t, file, text+"# tried\n")
	tried := read(t, file)
	step := steps.Of(t)
	step.Run("nothing was applied", func(t *testing.T) {
		if now := s.Now(false); now != nil {
			t.Errorf("in force: %+v", now)
		}
	})
	step.Run("what was applied is in force", func(t *testing.T) {
		must(t, s.Keep(kept, "/etc/pbr/pbr.toml"))
		if now := s.Now(false); now == nil || now.Hash != kept.Hash || s.TextOf(now).Hash != kept.Hash {
			t.Errorf("in force: %+v", now)
		}
	})
	step.Run("what is tried is in force", func(t *testing.T) {
		must(t, s.BeginTrial(tried))
		now := s.Now(true)
		if now == nil || now.Hash != tried.Hash || now.Path != file || now.Watch != "/etc/pbr/pbr.toml" || now.At.IsZero() {
			t.Fatalf("in force: %+v", now)
		}
		if p := s.TextOf(now); p == nil || string(p.Source(file)) != text+"# tried\n" {
			t.Errorf("its text: %+v", p)
		}
	})
	step.Run("a trial that nobody waits for is not", func(t *testing.T) {
		if now := s.Now(false); now.Hash != kept.Hash {
			t.Errorf("in force: %+v", now)
		}
	})
	step.Run("a trial of an earlier program, without a record", func(t *testing.T) {
		must(t, s.EndTrial())
		if now := s.Now(true); now.Hash != kept.Hash {
			t.Errorf("in force: %+v", now)
		}
	})
	step.Run("a text that is not known", func(t *testing.T) {
		if p := s.TextOf(&InForce{Hash: tried.Hash}); p != nil {
			t.Errorf("its text: %+v", p)
		}
	})
}
