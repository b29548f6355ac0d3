package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"pbr/integration/lab"
	"pbr/integration/vm/emulator"
	"pbr/integration/vm/guest"
)

// defaultPackages are tested when none is named, emulatedPackages and of these emulatedTests where
// every instruction is emulated, about ten times slower than on a processor. What needs the guest's
// kernel always runs.
var (
	defaultPackages  = []string{"./integration", "./kernel/..."}
	emulatedPackages = []string{"./integration"}
)

const emulatedTests = "^(TestVM|TestNetwork)"

// hostTests need Go itself and no kernel.
const hostTests = "^TestPackageBoundaries$"

// share is the directory that the guest can write to: the job, its programs, its results.
type share struct {
	dir string
	// source is the project's directory.
	source string
	// programs are the test programs that the guest runs, none for a shell.
	programs []testPackage
}

// newShare builds all that the guest runs.
func newShare(k kernel, o options) (*share, error) {
	source, err := sourceDir()
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(cache, "guest-")
	if err != nil {
		return nil, err
	}
	s := &share{dir: dir, source: source}
	if err := s.fill(k, o); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *share) remove() { _ = os.RemoveAll(s.dir) }

func (s *share) path(name string) string { return filepath.Join(s.dir, name) }

func (s *share) fill(k kernel, o options) error {
	for name, pkg := range map[string]string{"init": "./integration/vm/init", "pbr": "./cmd/pbr"} {
		if err := s.goBuild("build", "-o", s.path(name), pkg); err != nil {
			return err
		}
	}
	if !o.shell {
		var err error
		if s.programs, err = s.testPackages(o); err != nil {
			return err
		}
	}
	if err := s.writeJob(o); err != nil {
		return err
	}
	image, err := initramfs(k, s.path("init"))
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("initramfs"), image, 0o644)
}

// writeJob replaces the script that the guest runs, and forgets how the last one ended.
func (s *share) writeJob(o options) error {
	if err := os.RemoveAll(s.path(filepath.Base(guest.StatusFile))); err != nil {
		return err
	}
	return os.WriteFile(s.path(filepath.Base(guest.JobFile)), []byte(s.job(o)), 0o755)
}

// goBuild runs go for programs that need nothing of the machine that they run on.
func (s *share) goBuild(args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir = s.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// job returns the script that the guest runs.
func (s *share) job(o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=%s\n",
		quote(os.Getenv("TERM")))
	// Programs run from memory: the share is never cached, so every start would read them again.
	fmt.Fprintf(&b, "mkdir /tmp/programs\ncp %s/pbr /tmp/programs\n", guest.ShareDir)
	for _, setting := range os.Environ() {
		if name, value, _ := strings.Cut(setting, "="); strings.HasPrefix(name, "PBR_") {
			fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
		}
	}
	fmt.Fprintf(&b, "export %s=%s %s=/tmp/programs/pbr\n", lab.GuestEnv, o.accel, lab.ProgramEnv)
	b.WriteString("ip link set lo up\n")
	if o.shell {
		fmt.Fprintf(&b, "cd %s\necho 'the project is in %s, pbr is /tmp/programs/pbr; exit ends the "+
			"guest'\nexec bash -l\n", guest.SourceDir, guest.SourceDir)
		return b.String()
	}
	fmt.Fprintf(&b, "stty raw -echo\nstatus=0\necho %s\n", guest.Alive)
	for _, p := range s.programs {
		fmt.Fprintf(&b, "cp %s/%s /tmp/programs\ncd %s/%s\n/tmp/programs/%s %s || status=$?\n",
			guest.ShareDir, p.program, guest.SourceDir, p.dir, p.program, strings.Join(testArgs(o), " "))
	}
	b.WriteString("exit $status\n")
	return b.String()
}

// emulatedSelection reports whether nobody said what to run, on a guest that cannot run everything.
func (o options) emulatedSelection() bool {
	return o.run == "" && o.bench == "" && o.accel == emulator.TCG
}

// testArgs returns the arguments of a test program.
func testArgs(o options) []string {
	// Tests that hang are to say so before the guest is given up.
	args := []string{"-test.v", "-test.timeout=" + (o.timeout * 9 / 10).String()}
	run := o.run
	switch {
	case o.bench != "":
		run = "^$"
		args = append(args, "-test.benchtime=1x", "-test.bench="+quote(o.bench))
	case o.emulatedSelection():
		run = emulatedTests
	}
	skip := hostTests
	if o.skip != "" {
		skip += "|" + o.skip
	}
	if o.alone {
		args = append(args, "-test.parallel=1")
	}
	return append(args, "-test.run="+quote(run), "-test.skip="+quote(skip))
}

// quote makes one word of the shell's out of a string.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// testPackage is a test program in the share and the directory, below the source, that it has to
// run in.
type testPackage struct{ program, dir string }

// testPackages builds the test programs of the packages that have tests.
func (s *share) testPackages(o options) ([]testPackage, error) {
	patterns := o.packages
	if len(patterns) == 0 {
		patterns = defaultPackages
		if o.emulatedSelection() {
			patterns = emulatedPackages
		}
	}
	cmd := exec.Command("go", append([]string{"list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}"}, patterns...)...)
	cmd.Dir = s.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", strings.Join(patterns, " "), err)
	}
	var all []testPackage
	for dir := range strings.FieldsSeq(string(out)) {
		rel, err := filepath.Rel(s.source, dir)
		if err != nil {
			return nil, err
		}
		p := testPackage{program: strings.ReplaceAll(rel, "/", "-") + ".test", dir: rel}
		if err := s.goBuild("test", "-c", "-o", s.path(p.program), "./"+rel); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no tests in %s", strings.Join(patterns, " "))
	}
	return all, nil
}

// status is nil if the guest says that its job succeeded, and reports whether it says anything:
// whether its job came to an end.
func (s *share) status() (ended bool, err error) {
	b, err := os.ReadFile(s.path(filepath.Base(guest.StatusFile)))
	status := strings.TrimSpace(string(b))
	switch {
	case err != nil:
		return false, errors.New("the guest ended before its tests did")
	case status != "0":
		return status != strconv.Itoa(guest.StatusBroken), fmt.Errorf("the guest's tests ended with status %s", status)
	}
	return true, nil
}

// lastMessages returns the end of what the kernel said.
func (s *share) lastMessages() string {
	const count = 40
	b, _ := os.ReadFile(s.path("messages"))
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(b), "\r", "")), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// sourceDir is the directory of go.mod.
func sourceDir() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	file := strings.TrimSpace(string(out))
	if err != nil || !isFile(file) {
		return "", fmt.Errorf("run this inside the project: go env GOMOD says %q, %v", file, err)
	}
	return filepath.Dir(file), nil
}
