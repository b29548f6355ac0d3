package policy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the wanted diagnostics of fixtures/policy")

// report prints diagnostics one a line, with everything that they say.
func report(ds Diagnostics) string {
	var b strings.Builder
	for _, d := range ds {
		kind := "error"
		if d.Severity == Warning {
			kind = "warning"
		}
		fmt.Fprintf(&b, "%s: %s: %s [%s] key=%s\n", d.Pos, kind, d.Message, d.Code, d.Key)
		if d.Hint != "" {
			fmt.Fprintf(&b, "\thint: %s\n", d.Hint)
		}
	}
	return b.String()
}

// file is one file of a txtar archive.
type file struct{ name, data string }

// readArchive splits a txtar archive: a comment, then files, each after a line "-- NAME --".
func readArchive(t *testing.T, name string) (comment string, files []file) {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitAfterSeq(string(data), "\n") {
		inner, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-- ")
		if inner, end := strings.CutSuffix(inner, " --"); ok && end {
			files = append(files, file{name: inner})
		} else if len(files) == 0 {
			comment += line
		} else {
			files[len(files)-1].data += line
		}
	}
	return comment, files
}

// TestGolden parses each fixtures/policy/*.txtar and compares all its diagnostics.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob(fixtures + "/*.txtar")
	if err != nil || len(cases) < 10 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			comment, files := readArchive(t, name)
			want := files[len(files)-1]
			if want.name != "want" {
				t.Fatal("the last file is not \"want\"")
			}
			fsys := fstest.MapFS{}
			for _, f := range files[:len(files)-1] {
				comment += "-- " + f.name + " --\n" + f.data
				fsys[f.name] = &fstest.MapFile{Data: []byte(f.data)}
			}
			_, ds := Parse(fsys, "policy.toml", "policy.toml")
			got := report(ds)
			if *update {
				if err := os.WriteFile(name, []byte(comment+"-- want --\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want.data, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
