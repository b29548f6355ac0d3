package kernel

import (
	"errors"
	"os"
)

// LockLost reports whether the lock that k holds is worth nothing: its file was removed, so that
// another process can have a lock of its own.
func (k *Kernel) LockLost() bool { return k.lock != nil && !inPlace(k.lock) }

// Relock takes a lock that is lost again. It reports whether another process has made a lock file
// meanwhile, and so may have changed things. If another one has the lock, the error is a
// *LockedError.
func (k *Kernel) Relock() (others bool, err error) {
	if !k.LockLost() {
		return false, nil
	}
	_, missing := os.Stat(k.path(lockFile))
	f, err := k.takeLock()
	if err != nil {
		return false, err
	}
	k.applied = nil
	_ = writeLock(f, readLock(k.lock)) // only serves others' messages
	err = k.lock.Close()
	k.lock = f
	return missing == nil, err
}

// errLockLost is why nothing is changed under a lost lock.
var errLockLost = errors.New("the lock was removed, and another pbr has made it again: it may be at work")

// holdsLock fails if the lock that k holds is lost and another process has made a file of its own.
// If nobody has, there may be no space for one, and failover has to work all the same.
func (k *Kernel) holdsLock() error {
	if _, missing := os.Stat(k.path(lockFile)); k.LockLost() && missing == nil {
		return errLockLost
	}
	return nil
}
