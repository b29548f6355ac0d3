package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// A line of a page's block that is typed at a prompt.
var typedLine = regexp.MustCompile(`(?m)^ *[$#] (pbr .*)$`)

// typedLines returns what README and docs have the reader type, in their order, each once.
func typedLines(t *testing.T) (lines []string) {
	t.Helper()
	pages, _ := filepath.Glob("../docs/*.md")
	seen := map[string]bool{}
	for _, page := range append(pages, "../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range typedLine.FindAllStringSubmatch(string(text), -1) {
			line, _, _ := strings.Cut(m[1], "  #")
			if line = strings.TrimSpace(line); !seen[line] && !strings.Contains(line, "...") && len(strings.Fields(line)) > 1 {
				seen[line] = true
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// Each command line of the docs is one that pbr takes: it runs on a router, and does not end with
// an error about its words. What it finds there, and how it ends, is others' matter.
func TestDocsCommandLinesRun(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.apply(twoUplinks + "[[policy]]\nname = \"voip\"\nproto = \"udp\"\ndport = 5060\nuplink = \"isp2\"\nstrict = false\n" +
		"[lists]\nvisitors = { dynamic = true }\n")
	dir := t.TempDir()
	if err := os.Symlink(pbrPath, filepath.Join(dir, "pbr")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"cases.jsonl": `{"id": 0, "in": "lan1", "src": "192.168.10.50", ` +
		`"dst": "9.9.9.9", "proto": "tcp", "dport": 443}` + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines := typedLines(t)
	if len(lines) < 30 {
		t.Fatalf("the docs have %d command lines", len(lines))
	}
	for _, line := range lines {
		// Nothing outside of the lab is written to, and what would run for ever is ended.
		script := "cd " + dir + "; PATH=" + dir + ":$PATH; " +
			strings.ReplaceAll(strings.ReplaceAll(line, "/etc/pbr/", dir+"/"), "| less", "| cat")
		res := r.Exec("env", "PBR_CONFIG="+r.file, "timeout", "1", "sh", "-c", script)
		if m := wordsRefused.FindString(res.Stdout + res.Stderr); m != "" || res.Code == 127 {
			t.Errorf("%s: exit status %d: %s\n%s", line, res.Code, m, res.Stderr)
		}
	}
}

var wordsRefused = regexp.MustCompile(`not defined|unknown command|invalid value|did you mean|see pbr .*--help|No help topic|panic:`)
