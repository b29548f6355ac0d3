package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages returns README.md, CONTRIBUTING.md and everything in docs, by file name.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, _ := filepath.Glob("../../docs/*.md")
	below, _ := filepath.Glob("../../docs/*/*.md")
	texts := map[string]string{}
	for _, file := range slices.Concat(files, below, []string{"../../README.md", "../../CONTRIBUTING.md"}) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimPrefix(strings.TrimPrefix(file, "../../"), "docs/")] = string(text)
	}
	if len(texts) < 20 {
		t.Fatalf("%d pages", len(texts))
	}
	return texts
}

// run runs the program in this process, and returns its exit status and what it printed.
func run(args ...string) (int, string) {
	var said bytes.Buffer
	c := command{stdin: strings.NewReader(""), stdout: &said, stderr: &said}
	status := c.main(append([]string{"pbr"}, args...))
	return status, said.String()
}

var tomlBlock = regexp.MustCompile("(?s)```toml\n(.*?)```")

// Every policy in the docs passes pbr check, those of recipes.md without a warning but one that it
// explains.
func TestDocsPoliciesAreRight(t *testing.T) {
	for name, text := range pages(t) {
		for i, block := range tomlBlock.FindAllStringSubmatch(text, -1) {
			t.Run(fmt.Sprintf("%s, policy %d", name, i+1), func(t *testing.T) {
				if strings.HasPrefix(block[1], "[[expect]]") {
					return
				}
				dir := t.TempDir()
				file := filepath.Join(dir, "pbr.toml")
				for path, content := range map[string]string{file: block[1], filepath.Join(dir, "office.txt"): "10.0.0.0/8\n"} {
					if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				status, said := run("--config", file, "check")
				said = strings.ReplaceAll(said, `nothing uses uplink "front"`, "")
				warned := strings.Count(said, ": warning: ") - strings.Count(said, ": warning: :")
				if status != exitOK || name == "recipes.md" && warned > 0 {
					t.Errorf("%s, policy %d: exit status %d\n%s", name, i+1, status, said)
				}
			})
		}
	}
}

// A command of pbr in running text or in a block, as `pbr apply --confirm 60s`.
var commandInDocs = regexp.MustCompile("(?m)(?:`|^ *[$#] )pbr ([^`|>&\n]*)")

// commandOf is the command of a line, with the command of a command where the next word is one.
func commandOf(verb, line string) []string {
	_, rest, _ := strings.Cut(line, verb)
	app := command{}.app()
	words := strings.Fields(rest)
	if cmd := app.Command(verb); cmd != nil && len(words) > 0 && subcommand(cmd, words[0]) != nil {
		return []string{verb, words[0]}
	}
	return []string{verb}
}

// Every command and option that the docs name exists.
func TestDocsCommandsExist(t *testing.T) {
	asked := map[string]bool{}
	for name, text := range pages(t) {
		for _, m := range commandInDocs.FindAllStringSubmatch(text, -1) {
			line, _, _ := strings.Cut(m[1], "  #")
			verb, options := verbAndOptions(line)
			if verb == "" || asked[line] {
				continue
			}
			asked[line] = true
			command := commandOf(verb, line)
			for _, option := range options {
				// Whether an option has a value is not known here.
				_, without := run(append(slices.Clone(command), option, "--help")...)
				_, with := run(append(slices.Clone(command), option, "1s", "--help")...)
				if strings.Contains(without, "not defined") || strings.Contains(with, "not defined") {
					t.Errorf("%s: pbr %s: %s", name, line, without)
				}
			}
			if status, said := run(verb, "--help"); status != exitOK {
				t.Errorf("%s: pbr %s: exit status %d: %s", name, line, status, said)
			}
		}
	}
	if len(asked) < 40 {
		t.Errorf("only %d commands found: %v", len(asked), asked)
	}
}

var verbWord, optionWord = regexp.MustCompile(`^[a-z][a-z-]*$`), regexp.MustCompile(`^\[?(--[a-z0-9-]+)`)

// verbAndOptions returns the command of a line and the names of the options behind it.
func verbAndOptions(line string) (verb string, options []string) {
	words := strings.Fields(line)
	for len(words) > 1 && (words[0] == "-c" || words[0] == "--config") {
		words = words[2:]
	}
	if len(words) == 0 || !verbWord.MatchString(words[0]) {
		return "", nil
	}
	for _, word := range words[1:] {
		if m := optionWord.FindStringSubmatch(word); m != nil {
			options = append(options, m[1])
		}
	}
	return words[0], options
}

// What README shows first is what the program prints for README's policy.
func TestReadmeShowsWhatExplainPrints(t *testing.T) {
	text := pages(t)["README.md"]
	_, shown, _ := strings.Cut(text, "$ pbr explain ")
	shown, _, _ = strings.Cut(shown, "```")
	question, want, _ := strings.Cut(shown, "\n")
	t.Chdir(t.TempDir())
	if err := os.WriteFile("pbr.toml", []byte(tomlBlock.FindStringSubmatch(text)[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--config", "pbr.toml", "explain"}, strings.Fields(question)...)
	if status, said := run(args...); status != exitOK || said != want {
		t.Errorf("exit status %d\n%s\nREADME has\n%s", status, said, want)
	}
}

var (
	docsLink     = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]+)?\)`)
	docsHeading  = regexp.MustCompile("(?m)^#+ (.*)$")
	codeBlock    = regexp.MustCompile("(?ms)^```.*?^```")
	notInAnchors = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchorsOf returns the anchors of a page's headings.
func anchorsOf(text string) map[string]bool {
	anchors := map[string]bool{}
	for _, m := range docsHeading.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		heading := strings.ToLower(strings.TrimSpace(m[1]))
		anchors["#"+strings.ReplaceAll(notInAnchors.ReplaceAllString(heading, ""), " ", "-")] = true
	}
	return anchors
}

// Every link from one page to another leads to a file that is there, and to a heading of it.
func TestDocsLinksLeadToHeadings(t *testing.T) {
	root := os.DirFS("../..")
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := fs.Glob(root, pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	links := 0
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			text, err := fs.ReadFile(root, file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range docsLink.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(text), ""), -1) {
				if strings.Contains(m[1], ":") {
					continue
				}
				links++
				to := file
				if m[1] != "" {
					to = path.Join(path.Dir(file), m[1])
				}
				page, err := fs.ReadFile(root, to)
				if err != nil {
					t.Errorf("no file for the link %s", m[0])
				} else if m[2] != "" && !anchorsOf(string(page))[m[2]] {
					t.Errorf("no heading for the link %s", m[0])
				}
			}
		})
	}
	if len(files) < 25 || links < 150 {
		t.Errorf("%d pages with %d links", len(files), links)
	}
}

// The map in how-it-works.md names every package of the program, those of kernel/tap by their last
// element.
func TestDocsMapNamesEveryPackage(t *testing.T) {
	_, sourceMap, _ := strings.Cut(pages(t)["how-it-works.md"], "\n## The source\n")
	packages := map[string]bool{}
	for _, top := range []string{"cmd", "compiler", "render", "kernel", "healthcheck"} {
		err := fs.WalkDir(os.DirFS("../.."), top, func(file string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
				packages[path.Dir(file)] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for dir := range packages {
		short := path.Base(dir)
		if parent := path.Base(path.Dir(dir)); parent == "internal" {
			short = "internal/" + short
		}
		if !strings.Contains(sourceMap, "`"+dir+"`") && !strings.Contains(sourceMap, "`"+short+"`") {
			t.Errorf("the map of how-it-works.md does not name %s", dir)
		}
	}
	if len(packages) < 40 {
		t.Errorf("%d packages", len(packages))
	}
}

// What CONTRIBUTING.md tells engineers to edit is there.
func TestContributingNamesFilesThatExist(t *testing.T) {
	root, named := os.DirFS("../.."), 0
	section := ""
	for line := range strings.Lines(codeBlock.ReplaceAllString(pages(t)["CONTRIBUTING.md"], "")) {
		if strings.HasPrefix(line, "#") {
			section = strings.TrimLeft(line, "# ")
		}
		for _, m := range fileInDocs.FindAllStringSubmatch(line, -1) {
			named++
			if _, err := fs.Stat(root, strings.TrimSuffix(m[1], "/")); err != nil {
				t.Errorf("%s: %v", strings.TrimSpace(section), err)
			}
		}
	}
	if named < 60 {
		t.Errorf("only %d files", named)
	}
}

// A file or folder of the repository, as `compiler/plan/action.go`.
var fileInDocs = regexp.MustCompile(
	"`((?:cmd|compiler|render|kernel|healthcheck|fixtures|integration|docs|packaging)/[a-z0-9_./-]*[a-z0-9_/-])`")
