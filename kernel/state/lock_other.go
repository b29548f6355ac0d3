//go:build !linux

package state

// Lock does nothing: nothing is stored on this system.
func (d Dir) Lock() (unlock func(), err error) { return func() {}, nil }
