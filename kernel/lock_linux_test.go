package kernel

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// holdLock has another process of a user hold the lock file, until the test ends.
func holdLock(t *testing.T, k *Kernel, user string) {
	t.Helper()
	held := filepath.Join(t.TempDir(), "held")
	must(t, os.WriteFile(held, nil, 0o666))
	must(t, os.Chmod(held, 0o666))
	for dir := held; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(t, os.Chmod(filepath.Dir(dir), 0o777))
	}
	cmd := exec.Command("setpriv", "--reuid", user, "--clear-groups", "flock", k.path(lockFile), "sh", "-c",
		`echo held >"$1"; exec sleep 100`, "sh", held)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for {
		if b, _ := os.ReadFile(held); len(b) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// oldLock makes the lock file as older versions did, for everybody to open.
func oldLock(t *testing.T, k *Kernel) {
	t.Helper()
	must(t, os.MkdirAll(k.dir, 0o755))
	must(t, os.WriteFile(k.path(lockFile), nil, 0o644))
}

// A user who holds the lock of an older version keeps nobody out, now or later; a root who does,
// does.
func TestLockOfAnOlderVersion(t *testing.T) {
	k := newKernel(t)
	oldLock(t, k)
	holdLock(t, k, "65534")
	unlock, err := k.Lock("apply")
	if err != nil {
		t.Fatalf("an ordinary user keeps apply out: %v", err)
	}
	info, err := os.Stat(k.path(lockFile))
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("the lock's mode is %v", info.Mode())
	}
	var locked *LockedError
	if _, err := (&Kernel{dir: k.dir}).takeLock(); !errors.As(err, &locked) || locked.Doing != "apply" {
		t.Errorf("a second one: %v", err)
	}
	unlock()

	oldLock(t, k)
	must(t, os.Chmod(k.path(lockFile), 0o644))
	holdLock(t, k, "0")
	if _, err := k.Lock("apply"); !errors.As(err, &locked) {
		t.Errorf("root holds it: %v", err)
	}
}

// An older version that nobody runs leaves a file that anybody may have open: it is recreated.
func TestFreeLockOfAnOlderVersion(t *testing.T) {
	k := newKernel(t)
	oldLock(t, k)
	old, err := os.Stat(k.path(lockFile))
	must(t, err)
	unlock, err := k.Lock("apply")
	must(t, err)
	defer unlock()
	now, err := os.Stat(k.path(lockFile))
	must(t, err)
	if os.SameFile(old, now) || now.Mode() != 0o600 {
		t.Errorf("still the old file, or mode %v", now.Mode())
	}
}

// Whatever is in the directories of an older version, and whatever an apply writes, is for root
// alone.
func TestStateIsForRootAlone(t *testing.T) {
	k := newKernel(t)
	must(t, os.Chmod(filepath.Dir(k.dir), 0o755))
	oldLock(t, k)
	have, err := k.Live(testPlan(planA))
	must(t, err)
	must(t, k.SavePrevious(have))
	apply(t, k, testPlan(planA))
	must(t, filepath.WalkDir(filepath.Dir(k.dir), func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	}))
}
