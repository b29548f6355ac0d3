package kernel

import (
	"errors"
	"os"
	"testing"

	"pbr/integration/steps"
)

// A lock whose file was removed is noticed and taken again, and nothing is changed while another
// process may be at work.
func TestRelock(t *testing.T) {
	k := newKernel(t)
	unlock, err := k.Lock("watch")
	must(t, err)
	defer func() { unlock() }()
	other := &Kernel{dir: k.dir}
	var locked *LockedError
	step := steps.InNamespace(t).Steps()
	step.Run("in place", func(t *testing.T) {
		if others, err := k.Relock(); k.LockLost() || others || err != nil || k.holdsLock() != nil {
			t.Errorf("lost %v, others %v, %v", k.LockLost(), others, err)
		}
	})
	step.Run("removed: changes go on, and the lock is taken again", func(t *testing.T) {
		must(t, os.RemoveAll(k.dir))
		if !k.LockLost() || k.holdsLock() != nil {
			t.Errorf("lost %v, %v", k.LockLost(), k.holdsLock())
		}
		if others, err := k.Relock(); others || err != nil || k.LockLost() {
			t.Errorf("others %v, %v", others, err)
		}
		if _, err := other.takeLock(); !errors.As(err, &locked) || locked.Doing != "watch" {
			t.Errorf("a second one: %v", err)
		}
	})
	step.Run("another one has it: nothing is changed", func(t *testing.T) {
		must(t, os.RemoveAll(k.dir))
		f, err := other.takeLock()
		must(t, err)
		if _, err := k.Relock(); !errors.As(err, &locked) || !errors.Is(k.holdsLock(), errLockLost) {
			t.Errorf("%v, %v", err, k.holdsLock())
		}
		must(t, f.Close())
		if others, err := k.Relock(); !others || err != nil || k.LockLost() || k.holdsLock() != nil {
			t.Errorf("when it ended: others %v, %v", others, err)
		}
	})
	step.Run("it can be released", func(t *testing.T) {
		unlock()
		unlock = func() {}
		f, err := other.takeLock()
		must(t, err)
		must(t, f.Close())
	})
}
