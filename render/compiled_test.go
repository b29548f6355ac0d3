package render

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// FuzzCompile: whatever the language accepts can be compiled and printed, twice to the same bytes.
func FuzzCompile(f *testing.F) {
	for _, file := range []string{"../fixtures/policy/full.toml", "../fixtures/networks/1-handlings/policy.toml",
		"../fixtures/networks/6-dual-stack/policy.toml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		fsys := fstest.MapFS{"pbr.toml": {Data: []byte(text)}, "office.txt": {Data: []byte("203.0.113.0/24\n")}}
		doc, ds := policy.Parse(fsys, "pbr.toml", "pbr.toml")
		if ds.HasErrors() {
			return
		}
		p, problems := compiler.Compile(doc, plan.HostFacts{}, nil)
		if problems.HasErrors() {
			return
		}
		for _, print := range []func(io.Writer, *plan.Plan) error{Script, NFT, IP, JSON} {
			var a, b bytes.Buffer
			if err := print(&a, p); err != nil {
				t.Fatalf("printing the plan: %v", err)
			}
			again, _ := compiler.Compile(doc, plan.HostFacts{}, nil)
			if err := print(&b, again); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
				t.Fatalf("compiled and printed twice, it differs (%v)", err)
			}
		}
		if changes := plan.Diff(p, p); !changes.Empty() {
			t.Fatalf("the plan differs from itself: %s", strings.Join(Summary(changes), ", "))
		}
	})
}
