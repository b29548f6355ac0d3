//go:build !linux

package members

import "pbr/kernel/state"

// Lock does nothing: only Linux has members.
func Lock(state.Dir) (unlock func(), err error) { return func() {}, nil }
