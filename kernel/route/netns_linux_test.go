package route

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newNetns moves the test into a network namespace of its own, with lo and two veth pairs up:
// w1 (192.0.2.2/24, 2001:db8:1::2/64) and w2 (198.51.100.2/24, 2001:db8:2::2/64).
// The thread stays locked, so that it, and the namespace, end with the test.
func newNetns(t testing.TB) *Conn {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("making a network namespace (needs root): %v", err)
	}
	for _, cmd := range []string{
		"link set lo up",
		"link add name w1 type veth peer name x1", "link add name w2 type veth peer name x2",
		"address add 192.0.2.2/24 dev w1", "address add 198.51.100.2/24 dev w2",
		"address add 2001:db8:1::2/64 dev w1 nodad", "address add 2001:db8:2::2/64 dev w2 nodad",
		"link set w1 up", "link set x1 up", "link set w2 up", "link set x2 up",
	} {
		ip(t, cmd)
	}
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ip runs ip(8) and returns what it prints.
func ip(t testing.TB, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return string(out)
}

// lines splits ip's output into lines without the spaces at their ends.
func lines(s string) []string {
	var out []string
	for l := range strings.Lines(s) {
		out = append(out, strings.Join(strings.Fields(l), " "))
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
