package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Lock makes k the only one to change this network namespace until unlock is called; doing is what it is for, as
// "apply". It does not wait: while another process has it the error is a *LockedError. Apply and Flush
// take the lock themselves unless it is held already. Whoever may not
// change the network gets an error that says so, before anything is touched. The kernel gives it back when the process ends, however it ends.
func (k *Kernel) Lock(doing string) (unlock func(), err error) {
	if k.lock != nil {
		return nil, errors.New("the lock is held already, by this process")
	}
	if err := mayAdminister(); err != nil {
		return nil, err
	}
	f, err := k.takeLock()
	if err != nil {
		return nil, err
	}
	if k.released == "" || readLock(f) != k.released {
		k.left = nil // another process had the lock meanwhile
	}
	if err := writeLock(f, fmt.Sprintf("%d %s\n", os.Getpid(), doing)); err != nil {
		f.Close()
		return nil, fmt.Errorf("writing %s: %w", f.Name(), err)
	}
	k.lock = f
	return func() {
		k.lock = nil
		k.released = fmt.Sprintf("free %d %d\n", os.Getpid(), releases.Add(1))
		if writeLock(f, k.released) != nil {
			k.released = ""
		}
		k.removeEmpty()
		_ = f.Close()
	}, nil
}

// lockFile is what is locked; it stays as long as there is any state beside it.
const lockFile = "lock"

// takeLock opens and locks the lock file, anew if it was removed between the two.
func (k *Kernel) takeLock() (*os.File, error) {
	for {
		if _, err := os.Stat(k.dir); errors.Is(err, fs.ErrNotExist) {
			pruneStates(filepath.Dir(k.dir))
		}
		if err := os.MkdirAll(k.dir, 0o755); err != nil {
			return nil, fmt.Errorf("making the state directory: %w", err)
		}
		f, err := os.OpenFile(k.path(lockFile), os.O_RDWR|os.O_CREATE, 0o644)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its directory was removed again
		}
		if err != nil {
			return nil, fmt.Errorf("opening the lock: %w", err)
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && inPlace(f) {
			return f, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = lockHolder(f)
		} else if err != nil {
			err = fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// inPlace tells whether an open file still has its name.
func inPlace(f *os.File) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(opened, named)
}

// removeEmpty removes the state directory, whose lock is held, when there is nothing else in it.
func (k *Kernel) removeEmpty() { removeEmptyState(k.dir) }

func removeEmptyState(dir string) {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 1 && entries[0].Name() == lockFile {
		_ = os.Remove(filepath.Join(dir, lockFile))
		_ = os.Remove(dir)
	}
}

// pruneAge is how old an empty state directory has to be before another network namespace's run removes it: its
// own may have just made it.
const pruneAge = time.Minute

// pruneStates removes the state directories in which there is nothing but a lock that nobody holds. One with state in it stays, because
// nothing tells whether its network namespace is gone.
func pruneStates(stateDir string) {
	dirs, err := os.ReadDir(stateDir)
	if err != nil {
		return
	}
	for _, d := range dirs {
		dir := filepath.Join(stateDir, d.Name())
		info, err := d.Info()
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < pruneAge {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && inPlace(f) {
			removeEmptyState(dir)
		}
		f.Close()
	}
}

// releases counts how often this process gave a lock back, so that no two notes about it are the same.
var releases atomic.Uint64

// readLock returns what the lock's last holder, or the present one, wrote.
func readLock(f *os.File) string {
	b := make([]byte, 256)
	n, _ := f.ReadAt(b, 0)
	return string(b[:n])
}

func writeLock(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// lockHolder reads who holds the lock; it may have ended, or not have written yet.
func lockHolder(f *os.File) error {
	pid, doing, _ := strings.Cut(strings.TrimSpace(readLock(f)), " ")
	id, err := strconv.Atoi(pid)
	if err != nil {
		return &LockedError{}
	}
	return &LockedError{PID: id, Doing: doing}
}

// locked takes the lock unless it is held already.
func (k *Kernel) locked(doing string) (unlock func(), err error) {
	if k.lock != nil {
		return func() {}, nil
	}
	return k.Lock(doing)
}

// lockPoll is how often LockWait tries again.
const lockPoll = 100 * time.Millisecond

// LockWait is Lock, but waits for the other process to end.
func (k *Kernel) LockWait(ctx context.Context, doing string) (unlock func(), err error) {
	for {
		unlock, err = k.Lock(doing)
		var locked *LockedError
		if !errors.As(err, &locked) {
			return unlock, err
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, err
		}
	}
}
