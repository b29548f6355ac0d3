package kernel

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever is tried in another network namespace, the process stays in its own.
func TestApartLeavesTheProcess(t *testing.T) {
	newKernel(t) // needs root, too
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		apart(func() {
			if unix.Gettid() == unix.Getpid() {
				t.Error("the first thread is taken")
			} else if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				t.Error(err)
			}
		})
	}
	if now, err := os.Readlink("/proc/self/ns/net"); now != own || err != nil {
		t.Errorf("the process is in %s (%v), and was in %s", now, err, own)
	}
}
