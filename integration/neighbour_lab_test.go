package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
)

// program is one that runs in a router's namespace until the test ends, with files of its own.
type program struct {
	*router
	dir string
}

func newProgram(r *router) *program { return &program{router: r, dir: r.T().TempDir()} }

// file writes one of the program's files and returns its path.
func (p *program) file(name, text string) string {
	p.T().Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.T().Fatal(err)
	}
	return path
}

// start runs a command in a mount namespace of its own, so that what it puts below /run is seen by
// nobody else.
func (p *program) start(script string) {
	p.T().Helper()
	cmd := p.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", script)
	out := &monitor{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.Start(cmd); err != nil {
		p.T().Fatal(err)
	}
	p.T().Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if p.T().Failed() {
			p.T().Logf("%s\nsaid:\n%s", script, out.text())
		}
	})
}

// line returns the line of doctor's that has all of the words, empty if there is none.
func (r *router) line(words ...string) string {
	for line := range strings.Lines(r.pbr("doctor").Stdout) {
		if hasAll(line, words) {
			return line
		}
	}
	return ""
}

// finds waits for a line of doctor's with all of the words.
func (r *router) finds(words ...string) {
	r.T().Helper()
	if !lab.Eventually(lab.Patience(20*time.Second), func() bool { return r.line(words...) != "" }) {
		r.T().Errorf("no line has all of %q:\n%s", words, r.pbr("doctor").Stdout)
	}
}

// needFile skips the test where a program that is not in PATH is missing.
func needFile(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		if os.Getenv(lab.RequireEnv) == "1" {
			t.Fatal(fmt.Errorf("integration/install-tools.sh test installs it: %w", err))
		}
		t.Skip(err)
	}
}
