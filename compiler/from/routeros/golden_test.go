package routeros

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler/from"
	"pbr/compiler/policy"
)

var update = flag.Bool("update", false, "rewrite the wanted policies and reports")

// fixtures has one directory per export: export.rsc, and the policy and the report that come of it.
const fixtures = "../../../fixtures/import/routeros"

// importText imports a text, which has to be usable.
func importText(t testing.TB, text string, rename map[string]string) *from.Result {
	t.Helper()
	r, err := Import([]byte(text), from.Options{File: "export.rsc", Rename: rename})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return r
}

// parse reads an imported policy, which has to be right.
func parse(t testing.TB, text string) (*policy.Document, []string) {
	t.Helper()
	doc, ds := policy.Parse(fstest.MapFS{"policy": {Data: []byte(text)}}, "policy", "policy")
	if ds.HasErrors() {
		t.Fatalf("%v in\n%s", ds, text)
	}
	var warnings []string
	for _, d := range ds {
		warnings = append(warnings, d.Error())
	}
	return doc, warnings
}

func TestGolden(t *testing.T) {
	cases, err := filepath.Glob(fixtures + "/*/export.rsc")
	if err != nil || len(cases) < 30 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, path := range cases {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			r := importText(t, string(text), nil)
			doc, warnings := parse(t, r.Policy)
			if len(doc.Uplinks) > 0 && !(policy.Forwards(doc) && doc.Settings.Sysctl) {
				t.Error("what is imported forwards nothing")
			}
			compare(t, filepath.Join(dir, "policy.toml"), r.Policy)
			compare(t, filepath.Join(dir, "report"), r.Report("export.rsc", warnings))
			for _, s := range r.Statements {
				if !s.Accounted() {
					text, _ := s.Show()
					t.Errorf("line %d: nothing was said of %s %s", s.Line, s.Section, text)
				}
				if text, _ := s.Show(); s.Outcome() == from.Irrelevant && strings.HasPrefix(text, "add ") && neverSilent[s.Section] {
					t.Errorf("line %d is only counted: %s %s", s.Line, s.Section, text)
				}
			}
		})
	}
}

// neverSilent are the sections each of whose statements is represented or told of.
var neverSilent = map[string]bool{"/ip route": true, "/ip firewall mangle": true, "/ip firewall nat": true,
	"/ip firewall address-list": true, "/routing rule": true,
	"/ip route rule": true, "/routing table": true, "/ip dhcp-client": true, "/interface pppoe-client": true,
	"/interface list member": true, "/ip vrf": true}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s is not what comes out now (run with -update if that is right):\n%s", path, got)
	}
}
