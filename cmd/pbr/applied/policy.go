// Package applied remembers policies as they were applied: with every file that was read for them.
//
// A policy file is edited while pbr runs, may be a pipe, and may be what cut the router off. So
// what is in force is never read from the file again without need:
//
//	in force   which file it was, in /run: what a restarted watch goes on with
//	trial      the policy that waits to be confirmed, in /run
//	kept       the last one that was confirmed, or needed no confirmation, in the state
//	           directory: what an undone trial goes back to, and what is applied at boot while
//	           the file has a rejected policy
//	rejected   the hashes of files whose trial was undone, in the state directory: nobody but
//	           a person applies such a file again
package applied

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pbr/compiler/checksum"
	"pbr/compiler/policy"
)

// Policy is a policy file's text as it was read once, with the lists that it names.
type Policy struct {
	// Name is the file as the user wrote it. Path is where it can be read again, absolute; it is
	// empty for a pipe.
	Name, Path string
	// Hash tells one text, lists included, from another.
	Hash string
	// main is the absolute name of the policy itself in files, which has the others' texts too.
	main  string
	files map[string][]byte
	// sums are those of all that was examined for it; nil for one that was not read from its files.
	sums map[string]string
}

// Read reads and parses a policy file; name is what users know it by. The error is for one that
// cannot be read at all; what is wrong with its text is in the diagnostics.
func Read(file, name string, options policy.Options) (*Policy, *policy.Document, policy.Diagnostics, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("policy file %s: %w", name, err)
	}
	p := &Policy{Name: name, Path: path, main: path, files: map[string][]byte{}, sums: map[string]string{}}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil, fmt.Errorf("there is no policy file %s: write one, or name yours with --config FILE; "+
			"pbr init > %[1]s writes a first one", name)
	case err != nil:
		return nil, nil, nil, fmt.Errorf("reading the policy: %w", err)
	case info.IsDir():
		return nil, nil, nil, fmt.Errorf("policy file %s is a directory: name the file in it", name)
	case !info.Mode().IsRegular():
		p.Path = ""
	}
	doc, ds := policy.ParseWith(recorder{os.DirFS("/"), p.files, p.sums, options.Fetched}, strings.TrimPrefix(path, "/"), name, options)
	p.Hash = p.hash()
	return p, doc, ds, nil
}

// Seen lists the files that were examined for it, by name; none for a policy that cannot be read
// again.
func (p *Policy) Seen() (all []Seen) {
	if p.Path == "" {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(p.sums)) {
		all = append(all, Seen{name, p.sums[name]})
	}
	return all
}

// Lists are the absolute names of the list files that were read.
func (p *Policy) Lists() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		if name != p.main {
			names = append(names, name)
		}
	}
	return names
}

// WithLists returns the policy with the present texts of some of its list files. Nothing else is
// read again.
func (p *Policy) WithLists(names []string) (*Policy, error) {
	next := *p
	next.files, next.sums = maps.Clone(p.files), nil
	for _, name := range names {
		if _, known := next.files[name]; !known || name == p.main {
			continue
		}
		info, err := os.Stat(name)
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("not a regular file")
		}
		var text []byte
		if err == nil {
			text, err = os.ReadFile(name)
		}
		if err != nil {
			return nil, fmt.Errorf("reading list file %s: %w", name, err)
		}
		next.files[name] = text
	}
	next.Hash = next.hash()
	return &next, nil
}

// Parse parses the policy again, as it was read, with the texts that were fetched since.
func (p *Policy) Parse(options policy.Options) (*policy.Document, policy.Diagnostics) {
	return policy.ParseWith(texts{p.files, options.Fetched}, strings.TrimPrefix(p.main, "/"), p.Name, options)
}

// Source returns the text of a file that a diagnostic names; nil if it was not read.
func (p *Policy) Source(name string) []byte {
	switch {
	case name == p.Name:
		name = p.main
	case !filepath.IsAbs(name): // a list, named relative to the policy as the user wrote its name
		if abs, err := filepath.Abs(name); err == nil && p.files[abs] != nil {
			return p.files[abs]
		}
		name = filepath.Join(filepath.Dir(p.main), name)
	}
	return p.files[name]
}

func (p *Policy) hash() string {
	h := checksum.New()
	add := func(name string, text []byte) {
		fmt.Fprintf(h, "%d %s %d\n", len(name), name, len(text))
		h.Write(text)
	}
	add("", p.files[p.main]) // the same text by another name is the same
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		if name != p.main {
			add(name, p.files[name])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// stored is a Policy in JSON. The files are compressed: lists are long, and alike.
type stored struct {
	Name  string `json:"name"`
	Path  string `json:"path,omitempty"`
	Hash  string `json:"hash"`
	Main  string `json:"main"`
	Files []byte `json:"files"`
	// Sum and Texts are a keptPolicy's, instead of Hash and Files.
	Sum   string `json:"sum,omitempty"`
	Texts []byte `json:"texts,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (p *Policy) MarshalJSON() ([]byte, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err == nil {
		err = errors.Join(p.encodeFiles(z), z.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("packing the policy: %w", err)
	}
	return json.Marshal(stored{Name: p.Name, Path: p.Path, Hash: p.Hash, Main: p.main, Files: packed.Bytes()})
}

// encodeFiles writes the files as JSON, as encoding/json would, but bit by bit: it has no second
// copy of long lists in memory.
func (p *Policy) encodeFiles(w io.Writer) error {
	separator := "{"
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		key, err := json.Marshal(name)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s%s:\"", separator, key)
		}
		text := base64.NewEncoder(base64.StdEncoding, w)
		if err == nil {
			_, err = text.Write(p.files[name])
		}
		if err = errors.Join(err, text.Close()); err != nil {
			return err
		}
		separator = "\","
	}
	end := "\"}"
	if len(p.files) == 0 {
		end = "{}"
	}
	_, err := io.WriteString(w, end)
	return err
}

// maxFiles bounds what a packed policy unpacks to.
const maxFiles = 1 << 30

// unpacked returns the files.
func (s *stored) unpacked() (files map[string][]byte, err error) {
	if len(s.Texts) > 0 {
		return readTexts(s.Texts)
	}
	z, err := gzip.NewReader(bytes.NewReader(s.Files))
	if err != nil {
		return nil, err
	}
	err = json.NewDecoder(io.LimitReader(z, maxFiles)).Decode(&files)
	return files, err
}

// UnmarshalJSON implements json.Unmarshaler, also for a policy as it is kept. A policy whose text
// is not what its hash says is an error.
func (p *Policy) UnmarshalJSON(b []byte) error {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	files, err := s.unpacked()
	if err != nil {
		return fmt.Errorf("unpacking the policy: %w", err)
	}
	*p = Policy{Name: s.Name, Path: s.Path, Hash: cmp.Or(s.Sum, s.Hash), main: s.Main, files: files}
	if p.hash() != p.Hash {
		return errors.New("unpacking the policy: the text is not what it was")
	}
	return nil
}
