package confirm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Uptime is the time since the machine started, suspended or not (CLOCK_BOOTTIME,
// clock_gettime(2)): no one sets that clock.
func Uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0 // cannot be: Linux has it since 2.6.39
	}
	return time.Duration(t.Nano())
}

// Begin notes, before an apply, what to go back to after wait. The file returned is the guard: as
// long as any process has it open, that apply counts as looked after.
func (s Store) Begin(before *Previous, wait time.Duration) (*Pending, *os.File, error) {
	if err := s.SavePrevious(before); err != nil {
		return nil, nil, err
	}
	guard, err := s.Guard()
	if err != nil {
		return nil, nil, err
	}
	p := &Pending{Token: strconv.FormatUint(rand.Uint64(), 36), End: Uptime() + wait, Left: wait, Guarded: true}
	if err := s.writePending(p); err != nil {
		return nil, nil, errors.Join(err, guard.Close())
	}
	return p, guard, nil
}

// Guard locks the guard's file, also of a trial that another process began when nobody guards it
// any more. The lock is one of open files (F_OFD_SETLK, fcntl(2)): children inherit it, and it is
// gone with the last of them.
func (s Store) Guard() (*os.File, error) {
	f, err := os.OpenFile(s.path(guardFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the guard of the apply that waits to be confirmed: %w", err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return f, nil
}

// guarded reports whether a process waits to undo the pending apply.
func (s Store) guarded() bool {
	f, err := os.OpenFile(s.path(guardFile), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK
}
