//go:build !linux

package sources

import "pbr/kernel/state"

// lock does nothing: nothing is kept on this system.
func lock(state.Dir) (unlock func(), err error) { return func() {}, nil }
