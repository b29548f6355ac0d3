package sources

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"pbr/kernel/state"
)

// lock waits until no other process writes into the cache.
func lock(dir state.Dir) (unlock func(), err error) {
	if err := state.MakeDir(dir.Path()); err != nil {
		return nil, fmt.Errorf("keeping what was fetched: %w", err)
	}
	f, err := os.OpenFile(dir.Path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keeping what was fetched: %w", err)
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
