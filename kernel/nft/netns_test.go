//go:build linux

package nft

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// netns is a network namespace of its own thread; it goes when the test ends.
type netns struct {
	t    testing.TB
	work chan func()
	conn *Conn
}

// newNetns makes a namespace and opens its nftables.
func newNetns(t testing.TB) *netns {
	t.Helper()
	n := &netns{t: t, work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, and with it the namespace, ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- err
			return
		}
		conn, err := Open()
		n.conn = conn
		ready <- err
		for f := range n.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("making a network namespace (this test needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := n.conn.Close(); err != nil {
			t.Error(err)
		}
		close(n.work)
	})
	return n
}

// command runs a program in the namespace and returns its output, both kinds.
func (n *netns) command(stdin, name string, args ...string) (string, error) {
	var out []byte
	var err error
	done := make(chan struct{})
	n.work <- func() {
		defer close(done)
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err = cmd.CombinedOutput()
	}
	<-done
	return string(out), err
}

// load runs nft on a script.
func (n *netns) load(script string) {
	n.t.Helper()
	if out, err := n.command(script, "nft", "-f", "-"); err != nil {
		n.t.Fatalf("nft: %v\n%s", err, out)
	}
}

// list is nft's listing of what the arguments name.
func (n *netns) list(what ...string) string {
	n.t.Helper()
	out, err := n.command("", "nft", append([]string{"list"}, what...)...)
	if err != nil {
		n.t.Fatalf("nft list %v: %v\n%s", what, err, out)
	}
	return out
}

func (n *netns) read() *Live {
	n.t.Helper()
	live, err := n.conn.Read(nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return live
}

// diff is what turns the live table into want.
func diff(live *Live, want *plan.Ruleset) *plan.Changes {
	return plan.Diff(&plan.Plan{Ruleset: live.Ruleset}, &plan.Plan{Ruleset: *want})
}

// apply reads, compares and applies.
func (n *netns) apply(want *plan.Ruleset) *Live {
	n.t.Helper()
	live := n.read()
	next, err := n.conn.Apply(live, want, diff(live, want))
	if err != nil {
		n.t.Fatal(err)
	}
	return next
}
