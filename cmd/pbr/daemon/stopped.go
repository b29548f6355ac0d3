package daemon

import (
	"context"
	"errors"
)

// ErrStopped ends what was told to stop before it changed anything.
var ErrStopped = errors.New("interrupted; nothing was changed")

// UnlessStopped runs what only reads and computes, which may take minutes on a small machine. Where
// stop ends first it does not wait for it: the program is about to end.
func UnlessStopped[T any](stop context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-stop.Done():
		var none T
		return none, ErrStopped
	}
}
