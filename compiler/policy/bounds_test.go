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

// A list in a named pipe is an error: reading one may never end.
func TestListFilesAreRegular(t *testing.T) {
	fsys := fstest.MapFS{
		"p.toml": {Data: []byte("[lists]\na = { file = \"pipe\" }\n")},
		"pipe":   {Mode: fs.ModeNamedPipe},
	}
	if _, ds := Parse(fsys, "p.toml", "p.toml"); !ds.HasErrors() || !strings.Contains(ds[0].Message, "not a regular file") {
		t.Errorf("a pipe gives %v", ds)
	}
}
