//go:build !linux

package conntrack

import "errors"

// Follower does nothing on this system.
type Follower struct{}

// Receive fails.
func (f *Follower) Receive() (began, ended []Flow, lost bool, err error) {
	return nil, nil, false, errors.ErrUnsupported
}

// Close does nothing.
func (f *Follower) Close() error { return nil }
