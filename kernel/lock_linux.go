package kernel

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

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
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	f, err := os.OpenFile(k.path("lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, lockHolder(f)
		}
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
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
		_ = f.Close()
	}, nil
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
