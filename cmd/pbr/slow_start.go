package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

const (
	// startSign is how often a start that continues tells the service manager so, and
	// startExtension the time that it asks for each time: several signs may be late on a machine
	// that is as slow as that.
	startSign      = 10 * time.Second
	startExtension = time.Minute
	// startPatience bounds that: what has not started by then hangs, and the unit's own limit ends
	// it.
	startPatience = 15 * time.Minute
)

// extendStart keeps the service manager from giving up a start that takes minutes, as with a large
// policy on a small machine, until end is called.
func extendStart() (end func()) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	go tellStarting(ctx, notifyManager)
	return cancel
}

// tellStarting asks notify for more time until ctx ends (EXTEND_TIMEOUT_USEC of sd_notify(3)).
func tellStarting(ctx context.Context, notify func(string)) {
	t := time.NewTicker(startSign)
	defer t.Stop()
	for {
		notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", startExtension.Microseconds()))
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}
