package kernel

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// So many at once that every thread of the process is taken: the first one is not among them.
func TestApartLeavesTheFirstThread(t *testing.T) {
	var all, inside sync.WaitGroup
	const many = 100
	inside.Add(many)
	for range many {
		all.Go(func() {
			apart(func() {
				inside.Done()
				inside.Wait()
				if unix.Gettid() == unix.Getpid() {
					t.Error("the first thread is taken")
				}
			})
		})
	}
	all.Wait()
}
