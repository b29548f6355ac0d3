package healthcheck

import (
	"context"
	"errors"
	"time"
)

// ErrNotProbed marks errors of the prober itself: no probe was sent, so nothing is known of the
// uplink (no socket, no privilege, a target that cannot be understood).
var ErrNotProbed = errors.New("not probed")

// Prober sends probes.
type Prober interface {
	// Probe sends one probe to a target of an uplink and waits for its answer, not longer than ctx
	// allows; it returns soon after ctx has ended. An error that is ErrNotProbed says nothing about
	// the uplink; every other is a failed probe.
	Probe(ctx context.Context, c Config, target string) (rtt time.Duration, err error)
}

// Releaser is a Prober that keeps something for each uplink, as sockets. A Monitor tells it when an
// uplink is no longer probed.
type Releaser interface {
	Release(uplink string)
}

// Answer is how one probe ended.
type Answer struct {
	Target string
	RTT    time.Duration
	Err    error
}
