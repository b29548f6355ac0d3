package state

import (
	"errors"
	"syscall"
)

// advised is an error with what to do about it.
type advised struct {
	error
	advice string
}

func (a *advised) Error() string { return a.error.Error() + ": " + a.advice }
func (a *advised) Unwrap() error { return a.error }

// Advised adds to an error of writing a file what to do about it, where that is known.
func Advised(err error) error {
	var known *advised
	switch {
	case errors.As(err, &known):
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &advised{err, "free some space there (df shows how full it is)"}
	case errors.Is(err, syscall.EROFS):
		return &advised{err, "make that file system writable (mount -o remount,rw)"}
	}
	return err
}
