package policy

import (
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
)

// Small files that made parsing expensive cost little, or are errors.
func TestParsingIsBounded(t *testing.T) {
	var lists strings.Builder
	lists.WriteString("[lists]\n")
	for i := range 2000 {
		fmt.Fprintf(&lists, "l%d = [\"10.1.2.3\", \"10.%d.%d.0/24\"]\n", i, 2+i>>8, i&255)
	}
	for name, c := range map[string]struct{ text, want string }{
		"a key of 8,000 parts":            {strings.Repeat("a.", 7999) + "a = 1\n", "the key has more than 32 parts"},
		"a header of 8,000 parts":         {"[" + strings.Repeat("a.", 7999) + "a]\n", "the key has more than 32 parts"},
		"2,000 lists of a common address": {lists.String(), "more than 1000 pairs of lists share addresses"},
		"UTF-16":                          {"\xff\xfea\x00", "the file is UTF-16"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, ds := Parse(fstest.MapFS{"p.toml": {Data: []byte(c.text)}}, "p.toml", "p.toml")
			runtime.ReadMemStats(&after)
			found := false
			for _, d := range ds {
				found = found || strings.Contains(d.Message, c.want)
			}
			if !found {
				t.Errorf("%s: %d findings, none is %q", name, len(ds), c.want)
			}
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 100 {
				t.Errorf("%s costs %d MB", name, took)
			}
		})
	}
}

// What a policy costs stays small. Measured: 23 MB.
func TestMemoryOfManyPolicies(t *testing.T) {
	const most = 40 << 20
	fsys := fstest.MapFS{"p.toml": {Data: []byte(manyPolicies(10_000))}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, ds := Parse(fsys, "p.toml", "p.toml"); ds.HasErrors() {
		t.Fatal(ds[0])
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > most {
		t.Errorf("10,000 policies cost %d MB", took>>20)
	}
}

// What is no text is an error that says so: a pipe or a device, whose reading may never end, a
// directory, and other encodings. A line of any length is not repeated as a whole.
func TestListFilesAreText(t *testing.T) {
	regular := "not a regular file: name a file that has the entries"
	for name, c := range map[string]struct {
		file *fstest.MapFile
		want string
	}{
		"a pipe":              {&fstest.MapFile{Mode: fs.ModeNamedPipe}, regular},
		"a device":            {&fstest.MapFile{Mode: fs.ModeDevice | fs.ModeCharDevice}, regular},
		"a directory":         {&fstest.MapFile{Mode: fs.ModeDir}, regular},
		"none":                {nil, "the path is relative to the policy file"},
		"UTF-16":              {&fstest.MapFile{Data: []byte("\xff\xfe1\x000\x00")}, `the file is UTF-16: save the file as UTF-8`},
		"a NUL":               {&fstest.MapFile{Data: []byte("10.0.0.\x001\n")}, `invalid address "10.0.0.\x001"`},
		"a line of a MiB":     {&fstest.MapFile{Data: make([]byte, 1<<20)}, `list "a": invalid address "\x00`},
		"lines of DOS":        {&fstest.MapFile{Data: []byte("10.0.0.1\r\n10.0.0.9\r\n")}, ""},
		"UTF-8 with its mark": {&fstest.MapFile{Data: []byte("\xef\xbb\xbf10.0.0.1\n")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := fstest.MapFS{"p.toml": {Data: []byte("[lists]\na = { file = \"list\" }\n")}}
			if c.file != nil {
				fsys["list"] = c.file
			}
			_, ds := ParseWith(fsys, "p.toml", "p.toml", Options{ErrorsOnly: true})
			switch {
			case c.want == "" && ds.HasErrors(), c.want != "" && (len(ds) != 1 || !strings.Contains(ds[0].Error(), c.want)):
				t.Errorf("%.300v, want %s", ds, c.want)
			case len(ds) > 0 && len(ds[0].Message) > 2*maxMessage:
				t.Errorf("a message of %d bytes", len(ds[0].Message))
			}
		})
	}
}

// closedFS is a file system whose files nobody may read.
type closedFS struct{}

func (closedFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func TestPolicyThatMayNotBeRead(t *testing.T) {
	_, ds := Parse(closedFS{}, "p.toml", "p.toml")
	const want = "p.toml: reading the policy: permission denied: let the user that pbr runs as read it"
	if len(ds) != 1 || !strings.HasPrefix(ds[0].Error(), want) {
		t.Errorf("%v, want %s", ds, want)
	}
}
