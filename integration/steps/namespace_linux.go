package steps

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace runs subtests of a test whose thread is in a network namespace of its own. A subtest
// has another goroutine, and so another thread: here it enters the same namespace first.
type Namespace struct {
	t    *testing.T
	file *os.File
}

// InNamespace returns the network namespace of the calling thread.
func InNamespace(t *testing.T) Namespace {
	t.Helper()
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return Namespace{t, file}
}

// Run runs a subtest in the namespace. Its thread ends with it.
func (n Namespace) Run(name string, test func(t *testing.T)) bool {
	n.t.Helper()
	return n.t.Run(name, func(t *testing.T) {
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Fatalf("entering the network namespace: %v", err)
		}
		test(t)
	})
}

// Steps returns steps in the namespace: the first one that fails ends the test.
func (n Namespace) Steps() Steps { return Steps{n.t, n.Run} }
