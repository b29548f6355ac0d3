package conntrack

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	lib "github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"
)

// newNamespace moves the test into a network namespace of its own, with lo up. The thread stays
// locked, so that it, and the namespace, end with the test.
func newNamespace(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace (needs root): %v", err)
	}
	run(t, "ip link set lo up")
}

func newConntrack(t testing.TB) *lib.Conn {
	t.Helper()
	ct, err := dial()
	must(t, err)
	t.Cleanup(func() { ct.Close() })
	return ct
}

// run runs a program and returns what it prints.
func run(t testing.TB, command string) string {
	t.Helper()
	words := strings.Fields(command)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
