package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the scripts' wanted output and the man page")

// itself is by what name pbr starts itself (apply --confirm, the page's questions).
const itself = "/proc/self/exe"

// TestMain runs the tests, or pbr where it is started by its name or by itself: without the latter
// the process that undoes a trial would be all tests once more.
func TestMain(m *testing.M) {
	if os.Args[0] == itself {
		main()
	}
	testscript.Main(m, map[string]func(){"pbr": main})
}

func TestProgramStartsItself(t *testing.T) {
	if _, err := os.Stat(itself); err != nil {
		t.Skip("no /proc: pbr starts itself on Linux only")
	}
	said, err := exec.Command(itself, "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(said), "pbr ") {
		t.Errorf("%v: %.500s", err, said)
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": statusCommand},
		Setup: func(env *testscript.Env) error {
			setScriptEnv(env)
			return nil
		},
	})
}

// setScriptEnv gives a script a state directory of its own. With the race detector a program sleeps
// before it ends, 1 s unless told otherwise, which was most of the time that scripts took.
func setScriptEnv(env *testscript.Env) {
	env.Setenv("STATE_DIRECTORY", filepath.Join(env.WorkDir, "state"))
	env.Setenv("GORACE", "atexit_sleep_ms=20")
}

// statusCommand is "status CODE PROGRAM ARG...": the program must end with that exit status. With
// "on" before the program it runs on the script's router, with "unprivileged" as root without
// capabilities, with "user" as somebody else.
func statusCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE PROGRAM ARG...")
	}
	got, program := "0", args[1:]
	switch program[0] {
	case "on":
		program = onRouter(ts, program[1:])
	case "unprivileged":
		program = unprivileged(program[1:])
	case "user":
		program = user(program[1:])
	}
	if err := ts.Exec(program[0], program[1:]...); err != nil {
		got = err.Error()
	}
	if want := args[0]; got != want && got != "exit status "+want {
		ts.Fatalf("%v: %s, want exit status %s", args[1:], got, want)
	}
}

// unprivileged is the command that runs a program without any capability. Where root runs the tests
// it is in a network namespace of its own besides; a user's tests are as they are.
func unprivileged(program []string) []string {
	if os.Geteuid() != 0 {
		return program
	}
	return append([]string{"unshare", "--net", "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"}, program...)
}

// user is the command that runs a program as a user who is not root, and owns the script's files.
func user(program []string) []string {
	if os.Geteuid() != 0 {
		return program
	}
	return append([]string{"unshare", "--net", "--user", "--map-user=65534", "--map-group=65534"}, program...)
}

// routerVariable names the network namespace of a script's router, in the script's environment.
const routerVariable = "ROUTER"

// onRouter is the command that runs a program on the script's router.
func onRouter(ts *testscript.TestScript, program []string) []string {
	return append([]string{"ip", "netns", "exec", ts.Getenv(routerVariable)}, program...)
}

// An empty PBR_CONFIG names no file, as if it were not there.
func TestEmptyConfigVariable(t *testing.T) {
	t.Setenv(configVariable, "")
	var said bytes.Buffer
	c := command{stdin: os.Stdin, stdout: &said, stderr: &said}
	c.main([]string{"pbr", "check"})
	if !bytes.Contains(said.Bytes(), []byte(defaultConfig)) {
		t.Errorf("pbr check said %s", &said)
	}
}

const manPage = "../../docs/pbr.8"

func TestManPageIsCurrent(t *testing.T) {
	var page bytes.Buffer
	c := command{stdin: os.Stdin, stdout: &page, stderr: os.Stderr}
	if status := c.main([]string{"pbr", "man"}); status != exitOK {
		t.Fatalf("pbr man: exit status %d", status)
	}
	if *update {
		if err := os.WriteFile(manPage, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(manPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page.Bytes()) {
		t.Errorf("%s is not what pbr man prints: run make golden", manPage)
	}
}
