package conntrack

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"pbr/kernel/netevents"
)

// Multicast groups of connection tracking (NFNLGRP_CONNTRACK_*,
// linux/netfilter/nfnetlink_compat.h).
const (
	groupNew     = 1
	groupDestroy = 3
)

// Follower receives events of connections that begin and end.
type Follower struct{ events *netevents.Listener }

// Follow starts to listen, in the calling thread's network namespace.
func Follow() (*Follower, error) {
	l, err := netevents.Listen(unix.NETLINK_NETFILTER, nil, groupNew, groupDestroy)
	if err != nil {
		return nil, fmt.Errorf("listening to connection tracking: %w", err)
	}
	return &Follower{l}, nil
}

// Receive waits for events and returns the connections that began and those that ended. lost is set
// when the kernel dropped events; then only a new listing shows what exists. After Close the error
// is os.ErrClosed.
func (f *Follower) Receive() (began, ended []Flow, lost bool, err error) {
	messages, err := f.events.Receive()
	if errors.Is(err, netevents.ErrOverrun) {
		return nil, nil, true, nil
	}
	if err != nil {
		return nil, nil, false, err
	}
	for _, m := range messages {
		flow, ok := identify(m.Data)
		switch {
		case !ok:
		case uint16(m.Header.Type) == ctDelete:
			ended = append(ended, flow)
		case uint16(m.Header.Type) == ctNew && m.Header.Flags&netlink.Create != 0:
			began = append(began, flow)
		}
	}
	return began, ended, false, nil
}

// Close ends the follower; it may be called while another goroutine receives.
func (f *Follower) Close() error { return f.events.Close() }
