package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Longest line of comments and of hard-wrapped pages, in columns.
const (
	longComment = 100
	longCode    = 140
	longPage    = 100
)

// tree is what was measured.
type tree struct {
	packages map[string]*pkg

	functions, files              []int // lines of each
	lines, comments               int   // of code that is no test
	longComments, longCode        int
	tests, subtests               int
	pageLines, longPages, pages   int
	predicates, predicatesWithGos int
}

// pkg is a package: lines of code and of tests, and the packages of pbr that it imports.
type pkg struct {
	lines, tests int
	imports      []string
}

// read measures the checkout in a directory.
func read(dir string) (*tree, error) {
	t := &tree{packages: map[string]*pkg{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "dist"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go"):
			return t.goFile(path, filepath.Dir(rel))
		case strings.HasSuffix(path, ".md") && !strings.HasPrefix(rel, "CHANGELOG"):
			return t.page(path)
		}
		return nil
	})
	return t, err
}

func (t *tree) goFile(path, dir string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, parser.ParseComments)
	if err != nil {
		return err
	}
	if t.packages[dir] == nil {
		t.packages[dir] = &pkg{}
	}
	lines := bytes.Count(source, []byte("\n"))
	t.longLines(source)
	if strings.HasSuffix(path, "_test.go") {
		t.packages[dir].tests += lines
		t.countTests(file)
		return nil
	}
	t.packages[dir].lines += lines
	t.packages[dir].add(file)
	t.files = append(t.files, lines)
	t.lines += lines
	for _, group := range file.Comments {
		t.comments += fset.Position(group.End()).Line - fset.Position(group.Pos()).Line + 1
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
			t.functions = append(t.functions, fset.Position(f.End()).Line-fset.Position(f.Pos()).Line+1)
			t.predicate(f)
		}
	}
	return nil
}

// predicate counts functions that return a bool alone, and those of them whose comment says what
// Go's do.
func (t *tree) predicate(f *ast.FuncDecl) {
	results := f.Type.Results
	if f.Doc == nil || results == nil || len(results.List) != 1 {
		return
	}
	if name, ok := results.List[0].Type.(*ast.Ident); ok && name.Name == "bool" {
		t.predicates++
		if strings.Contains(strings.ReplaceAll(f.Doc.Text(), "\n", " "), "reports whether") {
			t.predicatesWithGos++
		}
	}
}

// longLines counts lines that are too long; a tab is four columns wide.
func (t *tree) longLines(source []byte) {
	for line := range strings.Lines(string(source)) {
		width := len([]rune(strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "    ")))
		switch comment := strings.HasPrefix(strings.TrimSpace(line), "//"); {
		case comment && width > longComment:
			t.longComments++
		case !comment && width > longCode:
			t.longCode++
		}
	}
}

func (t *tree) countTests(file *ast.File) {
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") && f.Recv == nil {
			t.tests++
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Run" && len(call.Args) == 2 {
				if _, ok := call.Args[1].(*ast.FuncLit); ok {
					t.subtests++
				}
			}
		}
		return true
	})
}

func (p *pkg) add(file *ast.File) {
	for _, spec := range file.Imports {
		if name, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), "pbr/"); ok && !slices.Contains(p.imports, name) {
			p.imports = append(p.imports, name)
		}
	}
}

// page counts a page's lines that are longer than they should be: not those of tables and blocks,
// which cannot be wrapped.
func (t *tree) page(path string) error {
	text, err := os.ReadFile(path)
	t.pages++
	block := false
	for line := range strings.Lines(string(text)) {
		t.pageLines++
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		block = block != fence
		if !block && !fence && !strings.HasPrefix(line, "|") && len([]rune(line)) > longPage+1 {
			t.longPages++
		}
	}
	return err
}
