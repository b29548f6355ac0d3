package members

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"pbr/kernel/state"
)

// Lock waits until no other process changes what is kept of members.
func Lock(dir state.Dir) (unlock func(), err error) {
	sub := dir.Sub(dirName)
	if err := state.MakeDir(sub.Path()); err != nil {
		return nil, fmt.Errorf("keeping the members of lists: %w", err)
	}
	f, err := os.OpenFile(sub.Path(lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keeping the members of lists: %w", err)
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
