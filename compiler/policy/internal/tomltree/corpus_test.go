package tomltree

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// notIn11 are the cases of the corpus that TOML 1.1 decides otherwise than 1.0.
var notIn11 = []string{
	"valid/spec-1.0.0/*", "invalid/spec-1.0.0/*", "invalid/datetime/no-secs", "invalid/local-time/no-secs",
	"invalid/local-datetime/no-secs",
	"invalid/string/basic-byte-escapes", "invalid/inline-table/trailing-comma", "invalid/inline-table/linebreak-0[1-4]",
}

// corpus returns the cases of github.com/toml-lang/toml-test, by name without their ending, which
// come with BurntSushi/toml.
func corpus(t testing.TB) map[string]string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/BurntSushi/toml").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := os.DirFS(filepath.Join(strings.TrimSpace(string(dir)), "internal/toml-test/tests"))
	cases := map[string]string{}
	err = fs.WalkDir(root, ".", func(path string, _ fs.DirEntry, err error) error {
		name, ok := strings.CutSuffix(path, ".toml")
		if err != nil || !ok || !strings.Contains(path, "/") ||
			slices.ContainsFunc(notIn11, func(p string) bool { m, _ := filepath.Match(p, name); return m }) {
			return err
		}
		text, err := fs.ReadFile(root, path)
		if cases[name] = string(text); err == nil && strings.HasPrefix(name, "valid/") {
			text, err = fs.ReadFile(root, name+".json")
			cases[name+".json"] = string(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// The corpus that readers of TOML are measured by: what is valid is read with the values that it
// names, what is not is refused.
func TestCorpus(t *testing.T) {
	cases := corpus(t)
	valid, invalid := 0, 0
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			tree, errs := Parse(text)
			switch {
			case strings.HasSuffix(name, ".json"):
			case strings.HasPrefix(name, "valid/"):
				valid++
				var want any
				if err := json.Unmarshal([]byte(cases[name+".json"]), &want); err != nil {
					t.Fatal(name, err)
				}
				if got := plainFields(tree); len(errs) > 0 || !reflect.DeepEqual(got, plainTagged(want)) {
					t.Errorf("%s: errors %v\ngot  %v\nwant %v\nof:\n%s", name, errs, got, plainTagged(want), text)
				}
			default:
				if invalid++; len(errs) == 0 {
					t.Errorf("%s: taken:\n%s", name, text)
				}
			}
		})
	}
	if valid < 200 || invalid < 400 {
		t.Errorf("the corpus has %d valid and %d invalid cases", valid, invalid)
	}
}
