package state

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockName is the file that is locked while several files of a directory change together.
const lockName = "lock"

// Lock creates the directory and waits until no other process has locked it.
func (d Dir) Lock() (unlock func(), err error) {
	if err := MakeDir(d.path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.Path(lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, Advised(err)
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil
}
