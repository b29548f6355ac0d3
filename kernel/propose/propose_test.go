package propose_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
	"pbr/kernel/propose"
)

// machines has a directory for each shape of machine: what it shows, and the policy that is
// proposed. integration makes each for real.
const machines = "../../fixtures/machines"

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func survey(t *testing.T, dir string) *facts.Survey {
	t.Helper()
	var s facts.Survey
	if err := json.Unmarshal([]byte(read(t, dir, "seen.json")), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestMachines(t *testing.T) {
	surveys, err := filepath.Glob(machines + "/*/seen.json")
	if err != nil || len(surveys) < 10 {
		t.Fatalf("%d machines: %v", len(surveys), err)
	}
	for _, file := range surveys {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			s := survey(t, dir)
			got, err := propose.Policy(s)
			if filepath.Base(dir) == "no-default" {
				if !errors.Is(err, propose.ErrNoDefault) || len(propose.Seen(s)) == 0 {
					t.Errorf("%v, seen %q", err, propose.Seen(s))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := read(t, dir, "pbr.toml"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			passes(t, got, "")
			passes(t, taken(got), "unused-uplink") // a VPN, until a policy leads to it
		})
	}
}

var setting = regexp.MustCompile(`(?m)^( *)#(\S| +\{)`)

// taken is a policy with all its proposals taken: the # of settings is away, that of sentences is
// not.
func taken(text string) string { return setting.ReplaceAllString(text, "$1$2") }

// passes says what pbr check --strict would not let pass, except for warnings of a code.
func passes(t *testing.T, text, except string) {
	t.Helper()
	const name = "pbr.toml"
	doc, ds := policy.Parse(fstest.MapFS{name: {Data: []byte(text)}}, name, name)
	for _, d := range ds {
		if d.Code == except {
			continue
		}
		t.Errorf("%s\n%s", d.Error(), text)
	}
	if ds.HasErrors() {
		return
	}
	if _, problems := compiler.Compile(doc, plan.HostFacts{}, nil); problems.HasErrors() {
		t.Errorf("%v\n%s", problems, text)
	}
}

// What an interface or a table is called cannot get out of a comment or a string.
func TestNamesAreQuoted(t *testing.T) {
	s := survey(t, machines+"/two-lines")
	bad := "a]#'\u202e"
	for i := range s.Links {
		if s.Links[i].Name == "wan2" {
			s.Links[i].Name = bad
		}
	}
	for i := range s.Defaults {
		if s.Defaults[i].Dev == "wan2" {
			s.Defaults[i].Dev = bad
		}
	}
	s.SourceNAT = []facts.SourceNAT{{Table: "ip x\n[pbr]\nsysctl = 7", OIF: "wan1"}}
	s.Unknown = []facts.Unknown{{What: "x", Why: "y\nz = 1"}}
	got, err := propose.Policy(s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got, "\u202e") {
		t.Errorf("%q", got)
	}
	passes(t, got, "")
}
