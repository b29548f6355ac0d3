package applied

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/compiler/policy"
	"pbr/integration/steps"
)

const text = `uplink = { name = "isp1", interface = "eth1", gateway = "192.0.2.1" }
lists = { friends = { file = "lists/friends.txt" } }
default = { routes = [ { uplink = "isp1" } ] }
policy = [ { name = "friends", dst = "@friends", uplink = "isp1", strict = true } ]
`

// written is a policy with a list, in a directory of its own.
func written(t *testing.T) (file, list string) {
	t.Helper()
	dir := t.TempDir()
	file, list = filepath.Join(dir, "pbr.toml"), filepath.Join(dir, "lists", "friends.txt")
	if err := os.Mkdir(filepath.Dir(list), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, file, text)
	write(t, list, "198.51.100.7\n")
	return file, list
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) *Policy {
	t.Helper()
	p, _, ds, err := Read(file, file, policy.Options{})
	if err != nil || ds.HasErrors() {
		t.Fatal(err, ds)
	}
	return p
}

// store is one in directories of the test's own.
func store(t *testing.T) Store {
	t.Helper()
	t.Setenv("STATE_DIRECTORY", filepath.Join(t.TempDir(), "state"))
	return Open(t.TempDir())
}

// What was read can be parsed again after the files are gone, and after a way through JSON.
func TestPolicyIsWhole(t *testing.T) {
	file, list := written(t)
	p := read(t, file)
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(file), os.Remove(list)); err != nil {
		t.Fatal(err)
	}
	again := &Policy{}
	if err := json.Unmarshal(b, again); err != nil {
		t.Fatal(err)
	}
	t.Run("it can be parsed again", func(t *testing.T) {
		doc, ds := again.Parse(policy.Options{})
		if ds.HasErrors() || len(doc.Lists) != 1 || len(doc.Lists[0].Ranges) != 1 || doc.File != file {
			t.Errorf("%v, %+v", ds, doc)
		}
	})
	t.Run("it has its texts, its path and its hash", func(t *testing.T) {
		if again.Hash != p.Hash || again.Path != file || string(again.Source(file)) != text ||
			string(again.Source(list)) != "198.51.100.7\n" {
			t.Errorf("not what was read: %+v", again)
		}
	})
}

// Torn or altered, it is an error and no other policy.
func TestDamagedPolicy(t *testing.T) {
	file, _ := written(t)
	b, err := json.Marshal(read(t, file))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	fields["hash"] = strings.Repeat("0", 64)
	altered, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range [][]byte{altered, b[:len(b)/2], []byte("{}"), nil} {
		t.Run(fmt.Sprintf("%.20s", torn), func(t *testing.T) {
			if err := json.Unmarshal(torn, &Policy{}); err == nil {
				t.Errorf("%.60s is taken", torn)
			}
		})
	}
}

// The hash follows the lists as well as the policy, and no name.
func TestHash(t *testing.T) {
	file, list := written(t)
	first := read(t, file)
	t.Run("another list has another hash", func(t *testing.T) {
		write(t, list, "198.51.100.8\n")
		if second := read(t, file); second.Hash == first.Hash {
			t.Error("another list has the same hash")
		}
	})
	t.Run("the same text by another name has the same", func(t *testing.T) {
		write(t, list, "198.51.100.7\n")
		copied := filepath.Join(filepath.Dir(file), "copy.toml")
		write(t, copied, text)
		if same := read(t, copied); same.Hash != first.Hash {
			t.Error("the same text by another name has another hash")
		}
	})
}

// A pipe has no path to read it again from.
func TestPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		_, _ = w.WriteString(`uplink = { name = "isp1", interface = "eth1", gateway = "192.0.2.1" }`)
		_ = w.Close()
	}()
	p, doc, ds, err := Read("/proc/self/fd/"+itoa(int(r.Fd())), "pipe", policy.Options{})
	if err != nil || ds.HasErrors() || len(doc.Uplinks) != 1 || p.Path != "" {
		t.Errorf("%+v, %v, %v", p, ds, err)
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// Keep, reject, apply by a person, forget.
func TestStore(t *testing.T) {
	file, _ := written(t)
	s, p := store(t), read(t, file)
	step := steps.Of(t)
	step.Run("at first nothing is kept, in force or rejected", func(t *testing.T) {
		if _, err := s.Kept(); !errors.Is(err, fs.ErrNotExist) || s.InForce() != nil || s.Rejected(p) != nil {
			t.Errorf("nothing was kept: %v", err)
		}
	})
	step.Run("what is kept is in force", func(t *testing.T) {
		must(t, s.Keep(p, "/etc/pbr/pbr.toml"))
		if now := s.InForce(); now == nil || now.Hash != p.Hash || now.Watch != "/etc/pbr/pbr.toml" {
			t.Errorf("in force: %+v", now)
		}
	})
	var edited *Policy
	step.Run("what was on trial and is rejected is not in force", func(t *testing.T) {
		write(t, file, text+"# edited\n")
		edited = read(t, file)
		must(t, s.BeginTrial(edited))
		must(t, errors.Join(s.Reject(edited), s.EndTrial()))
		if r := s.Rejected(edited); r == nil || !strings.Contains(r.String(), "pbr.toml was rejected at ") ||
			!strings.Contains(r.String(), "is not in force") {
			t.Errorf("rejected: %v", r)
		}
	})
	step.Run("another text of the file is not rejected", func(t *testing.T) {
		if s.Rejected(p) != nil {
			t.Error("another text of the file is rejected")
		}
	})
	step.Run("going on with the old policy keeps the rejection", func(t *testing.T) {
		must(t, s.Keep(p, ""))
		if s.Rejected(edited) == nil {
			t.Error("going on with the old policy forgets the rejection")
		}
	})
	step.Run("an apply without a watch keeps the watch's file", func(t *testing.T) {
		if now := s.InForce(); now.Watch != "/etc/pbr/pbr.toml" {
			t.Errorf("an apply without a watch forgets the watch's file: %+v", now)
		}
	})
	step.Run("applied by a person it is not rejected any more", func(t *testing.T) {
		must(t, s.Keep(edited, ""))
		if s.Rejected(edited) != nil {
			t.Error("applied by a person, and still rejected")
		}
	})
	step.Run("it is what is kept now", func(t *testing.T) {
		if kept, err := s.Kept(); err != nil || kept.Hash != edited.Hash {
			t.Errorf("kept: %v, %v", kept, err)
		}
	})
	step.Run("forgetting takes the directory away, and can be done again", func(t *testing.T) {
		must(t, s.Forget())
		if _, err := os.Stat(s.Dir().Path()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the state directory stays: %v", err)
		}
		must(t, s.Forget())
	})
}

// TestKeptPolicyIsWhole: what is kept is what was read, whichever version kept it.
func TestKeptPolicyIsWhole(t *testing.T) {
	file, list := written(t)
	s, p := store(t), read(t, file)
	is := func(t *testing.T) {
		t.Helper()
		kept, err := s.Kept()
		if err != nil || kept.Name != p.Name || kept.Path != p.Path || kept.Hash != p.Hash || kept.main != p.main ||
			!maps.EqualFunc(kept.files, p.files, bytes.Equal) || len(kept.files) != 2 || kept.files[list] == nil {
			t.Errorf("kept: %+v, %v", kept, err)
		}
	}
	step := steps.Of(t)
	step.Run("by this version", func(t *testing.T) {
		must(t, s.Keep(p, ""))
		is(t)
	})
	step.Run("torn", func(t *testing.T) {
		packed, err := p.forKeeping()
		must(t, err)
		for _, n := range []int{0, 1, len(packed.Texts) / 2, len(packed.Texts) - 1} {
			must(t, s.Dir().Save(keptFile, keptPolicy{p.Name, p.Path, p.Hash, p.main, packed.Texts[:n]}))
			if kept, err := s.Kept(); err == nil {
				t.Errorf("%d of %d bytes are taken for %+v", n, len(packed.Texts), kept)
			}
		}
	})
	step.Run("by earlier versions, as it is handed to a watch", func(t *testing.T) {
		must(t, s.Dir().Save(keptFile, p))
		before := MarkOf(s.Dir().Path(keptFile))
		is(t)
		must(t, s.Keep(p, ""))
		if MarkOf(s.Dir().Path(keptFile)) != before {
			t.Error("what is kept is saved again")
		}
	})
	step.Run("earlier versions find another hash in it, and so keep theirs", func(t *testing.T) {
		must(t, os.Remove(s.Dir().Path(keptFile)))
		must(t, s.Keep(p, ""))
		var kept struct{ Name, Path, Hash string }
		if must(t, s.Dir().Load(keptFile, &kept)); kept.Name != p.Name || kept.Hash != "" {
			t.Errorf("they find %+v", kept)
		}
	})
}

// TestTextsThatAreCut: lengths that reach beyond the end are an error.
func TestTextsThatAreCut(t *testing.T) {
	t.Parallel()
	pack := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := z.Write([]byte(text))
		must(t, errors.Join(err, z.Close()))
		return b.Bytes()
	}
	for text, ok := range map[string]bool{"": true, "\x01a\x02bc": true, "\x01a\x00": true, "\x01a": false, "\x01a\x03bc": false,
		"\x05a": false, "\xff": false, "\xff\xff\xff\xff\xff\xff\xff\xff\x7fa": false, "\x01a\x02bc\x01": false} {
		if files, err := readTexts(pack(text)); (err == nil) != ok {
			t.Errorf("%q: %q, %v", text, files, err)
		}
	}
}

// A record that was torn counts as missing, and the next one replaces it.
func TestTornRecords(t *testing.T) {
	file, _ := written(t)
	s, p := store(t), read(t, file)
	must(t, s.Keep(p, ""))
	for _, name := range []string{s.Dir().Path(keptFile), filepath.Join(s.run, inForceFile)} {
		write(t, name, `{"name":"x`)
	}
	write(t, s.Dir().Path(rejectedFile), "\x00\x00")
	step := steps.Of(t)
	step.Run("torn records count as missing", func(t *testing.T) {
		if _, err := s.Kept(); err == nil || s.InForce() != nil || s.Rejected(p) != nil {
			t.Errorf("torn records count: %v", err)
		}
	})
	step.Run("the next rejection replaces one", func(t *testing.T) {
		must(t, s.Reject(p))
		if s.Rejected(p) == nil {
			t.Error("the rejection is not on record")
		}
	})
	step.Run("what is kept next replaces both", func(t *testing.T) {
		must(t, s.Keep(p, ""))
		if kept, err := s.Kept(); err != nil || kept.Hash != p.Hash || s.InForce() == nil || s.Rejected(p) != nil {
			t.Errorf("after the next one: %v", err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
