package policy

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// codesInSource returns the codes that code.go defines, and fails for those that nothing uses.
func codesInSource(t *testing.T) []string {
	fset := token.NewFileSet()
	names, used := map[string]string{}, map[string]bool{}
	files, _ := filepath.Glob("*.go")
	above, _ := filepath.Glob("../*.go")
	files = append(files, above...)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parserFile(fset, name)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if name == "code.go" {
					value, _ := strconv.Unquote(n.Values[0].(*ast.BasicLit).Value)
					names[n.Names[0].Name] = value
				}
			case *ast.Ident:
				used[n.Name] = used[n.Name] || name != "code.go"
			}
			return true
		})
	}
	var codes []string
	for name, code := range names {
		if !used[name] {
			t.Errorf("%s is never used", name)
		}
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}

func parserFile(fset *token.FileSet, name string) (*ast.File, error) {
	return goparser.ParseFile(fset, name, nil, 0)
}

func readDocs(t *testing.T) string {
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDocsListEveryCode(t *testing.T) {
	codes := codesInSource(t)
	if len(codes) < 30 {
		t.Fatalf("only %d codes found", len(codes))
	}
	_, tables, _ := strings.Cut(readDocs(t), "## Errors")
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(tables, -1) {
		documented = append(documented, m[1])
	}
	slices.Sort(documented)
	if !slices.Equal(codes, documented) {
		t.Errorf("code.go has\n%q\ndocs/policy.md has\n%q", codes, documented)
	}
}

// TestGoldenSeesEveryCode keeps each diagnostic shown by at least one file of fixtures/policy.
func TestGoldenSeesEveryCode(t *testing.T) {
	var all strings.Builder
	cases, _ := filepath.Glob(fixtures + "/*.txtar")
	for _, name := range cases {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	// Those that the compiler finds have a test there, and builds that lack something
	// TestNotBuiltIn.
	ofCompiler := []string{CodeTooManyRules, CodeRuleTooWide, CodeKernelTooOld, CodeOwnGateway, CodeNoOffload,
		CodeExpectation, codeNotBuiltIn}
	for _, code := range codesInSource(t) {
		if !slices.Contains(ofCompiler, code) && !strings.Contains(all.String(), "["+code+"]") {
			t.Errorf("no case of fixtures/policy shows %q", code)
		}
	}
}

// TestDocsNameEveryKey compares the reference with the keys that the hints for unknown keys offer.
func TestDocsNameEveryKey(t *testing.T) {
	sections := map[string]string{"pbr": "[pbr]", "check": "[check]", "watch": "[watch]", "lists.x": "[lists.x]", "uplink": "[[uplink]]",
		"table": "[[table]]", "balance": "[[balance]]", "policy": "[[policy]]", "rule": "[[rule]]",
		"uplink.check":   "[[uplink]]\n[uplink.check]",
		"watch.notify":   "[watch.notify]",
		"table.routes":   "[[table]]\n[table.routes]",
		"balance.sticky": "[[balance]]\n[balance.sticky]"}
	docs := readDocs(t)
	for name, header := range sections {
		t.Run(name, func(t *testing.T) {
			_, ds := Parse(fstest.MapFS{"p": {Data: []byte(header + "\nzzzzzzzzzzzzzzzzzzzzzzz = 1\n")}}, "p", "p")
			found := false
			for _, d := range ds {
				keys, ok := strings.CutPrefix(d.Hint, "valid: ")
				if d.Code != codeUnknownKey || d.Key != name+".zzzzzzzzzzzzzzzzzzzzzzz" || !ok {
					continue
				}
				found = true
				for key := range strings.SplitSeq(keys, ", ") {
					if word := strings.Trim(key, `"`); !strings.Contains(docs, "`"+word+"`") {
						t.Errorf("docs/policy.md does not name %s of %s", key, header)
					}
				}
			}
			if !found {
				t.Errorf("%s: no hint with its keys in %v", header, ds)
			}
		})
	}
}

// TestDocsExamples parses the examples of the reference.
func TestDocsExamples(t *testing.T) {
	n := 0
	for _, m := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(readDocs(t), -1) {
		n++
		_, ds := Parse(fstest.MapFS{"p": {Data: []byte(m[1])}, "office.txt": {Data: []byte("10.0.0.0/8\n")}}, "p", "p")
		if ds.HasErrors() {
			t.Errorf("%v in\n%s", ds, m[1])
		}
	}
	if n < 2 {
		t.Errorf("%d examples", n)
	}
}
