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
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pbr/kernel/state"
)

// Lock makes k the only one to change this network namespace until unlock is called. doing says
// what for, such as "apply". Lock does not wait: if another process has the lock, the error is a
// *LockedError. Apply and Flush take the lock themselves unless it is held. Without the privilege
// to change the network, the error says so before anything is touched. The kernel releases the lock
// when the process ends, in whatever way.
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
		k.applied = nil // -- another process had the lock meanwhile
	}
	// The holder's name only serves others' messages: without space to write it, the lock is held
	// anyway.
	_ = writeLock(f, fmt.Sprintf("%d %s\n", os.Getpid(), doing))
	k.lock = f
	return func() {
		f := k.lock // -- Relock may have replaced it
		k.lock = nil
		k.released = fmt.Sprintf("free %d %d\n", os.Getpid(), releases.Add(1))
		if writeLock(f, k.released) != nil {
			k.released = ""
		}
		k.removeEmpty()
		_ = f.Close()
	}, nil
}

// lockFile is the file that is locked; it stays as long as the directory has any state.
const lockFile = "lock"

// takeLock opens and locks the lock file; it starts again if the file was removed in between.
func (k *Kernel) takeLock() (*os.File, error) {
	for {
		if err := makeStateDir(k.dir); err != nil {
			return nil, fmt.Errorf("creating the state directory: %w", err)
		}
		f, err := os.OpenFile(k.path(lockFile), os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // -- the directory was removed again
		}
		if err != nil {
			return nil, fmt.Errorf("opening the lock: %w", state.Advised(err))
		}
		if f, err = tryLock(f); f != nil || err != nil {
			return f, err
		}
	}
}

// makeStateDir creates a namespace's directory and its parent, for root alone.
func makeStateDir(dir string) error {
	if err := state.MakeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	return state.MakeDir(dir)
}

// tryLock locks an open lock file, or closes it. It returns nil if the caller has to start again.
func tryLock(f *os.File) (*os.File, error) {
	info, err := f.Stat()
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	open := err == nil || errors.Is(err, unix.EWOULDBLOCK)
	switch {
	case open && info.Mode().Perm()&0o077 != 0 && (err == nil || !rootHolds(f, info)):
		err = replaceLock(f)
	case err == nil && inPlace(f):
		return f, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		err = lockHolder(f)
	case err != nil:
		err = fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return nil, errors.Join(err, f.Close())
}

// replaceLock replaces a lock file that others may open, as older versions created it: whoever has
// it open could lock it at any time. A running older version opens the new file by its name.
func replaceLock(f *os.File) error {
	dir, err := os.Open(filepath.Dir(f.Name()))
	if err != nil {
		return fmt.Errorf("recreating the lock: %w", err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil { // -- one at a time, or two processes would each lock their own file
		return fmt.Errorf("recreating the lock: %w", err)
	}
	if !inPlace(f) {
		return nil
	}
	if err := state.Replace(f.Name(), nil); err != nil {
		return fmt.Errorf("recreating the lock: %w", err)
	}
	return nil
}

// rootHolds reports whether a process of root, or of this process's user, has a file locked.
// /proc/locks (proc_locks(5)) lists processes and files; where it shows nothing, as for another PID
// namespace, the holder's note in the file decides.
func rootHolds(f *os.File, info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	if b, err := os.ReadFile("/proc/locks"); err == nil {
		file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
		for line := range strings.Lines(string(b)) {
			w := strings.Fields(line) // 1: FLOCK ADVISORY WRITE 4711 00:1a:42 0 EOF
			if len(w) > 5 && w[1] == "FLOCK" && w[5] == file {
				return ofRoot(w[4])
			}
		}
	}
	pid, _, _ := strings.Cut(readLock(f), " ")
	return ofRoot(pid)
}

// ofRoot reports whether a process exists and belongs to root or to this process's user.
func ofRoot(pid string) bool {
	if n, err := strconv.Atoi(pid); err != nil || n <= 0 {
		return false
	}
	info, err := os.Stat("/proc/" + pid)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
}

// inPlace reports whether an open file still has its name.
func inPlace(f *os.File) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(opened, named)
}

// removeEmpty removes the state directory, whose lock is held, if nothing else is in it.
func (k *Kernel) removeEmpty() { removeEmptyState(k.dir) }

func removeEmptyState(dir string) {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 1 && entries[0].Name() == lockFile {
		_ = os.Remove(filepath.Join(dir, lockFile))
		_ = os.Remove(dir)
	}
}

// releases counts how often this process released a lock, so that no two notes about it are equal.
var releases atomic.Uint64

// readLock returns what the lock's last or present holder wrote.
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

// lockHolder returns who holds the lock; the process may have ended, or not have written yet.
func lockHolder(f *os.File) error {
	pid, doing, _ := strings.Cut(strings.TrimSpace(readLock(f)), " ")
	id, err := strconv.Atoi(pid)
	if err != nil {
		return &LockedError{}
	}
	return &LockedError{PID: id, Doing: doing}
}

// locked takes the lock unless k holds it already.
func (k *Kernel) locked(doing string) (unlock func(), err error) {
	if k.lock != nil {
		return func() {}, k.holdsLock()
	}
	return k.Lock(doing)
}

// lockPoll is the time between two tries of LockWait.
const lockPoll = 25 * time.Millisecond

// LockWait is Lock, but it waits for the other process.
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
