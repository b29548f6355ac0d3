package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/kernel"
)

// lockPatience is how long a starting watch waits for another pbr that is at work.
const lockPatience = 10 * time.Second

// withLock does something for a command under the lock of this network namespace, so that one pbr at a time changes it. An
// interrupt ends it between two steps, with everything undone.
func withLock(command string, k *kernel.Kernel, do func(context.Context) error) error {
	unlock, err := k.Lock(command)
	if err != nil {
		return explainLock(err, command)
	}
	defer unlock()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return do(ctx)
}

// withKernel is withLock for a command that needs no policy file.
func withKernel(command string, do func(context.Context, *kernel.Kernel) error) error {
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return err
	}
	defer k.Close()
	return withLock(command, k, func(stop context.Context) error { return do(stop, k) })
}

// lockForWatch takes the lock for as long as the watch runs. It waits for a pbr that is at work, or ending, but not for another watch.
func (c command) lockForWatch(stop context.Context, k *kernel.Kernel) (func(), error) {
	unlock, err := k.Lock("watch")
	var locked *kernel.LockedError
	if !errors.As(err, &locked) {
		return unlock, err
	}
	if locked.Doing == "watch" {
		if _, err := daemon.Ask(k.Dir(), daemon.Request{Do: "status"}); err == nil {
			return nil, explainLock(locked, "watch")
		}
	}
	fmt.Fprintf(c.stderr, "pbr: %v; waiting %s for it to end\n", locked, lockPatience)
	ctx, cancel := context.WithTimeout(stop, lockPatience)
	defer cancel()
	unlock, err = k.LockWait(ctx, "watch")
	return unlock, explainLock(err, "watch")
}

// explainLock says what whoever wants to run a command can do about the pbr that has the lock.
func explainLock(err error, command string) error {
	var locked *kernel.LockedError
	if !errors.As(err, &locked) {
		return err
	}
	if locked.Doing != "watch" {
		return fmt.Errorf("%w: run pbr %s again when it has ended", err, command)
	}
	advice := "end it first (systemctl stop pbr, or kill %d)"
	switch command {
	case "apply":
		advice = "have it read the policy file anew instead (systemctl reload pbr, or kill -HUP %d), or end it first"
	case "watch":
		advice = "to bring a changed policy file into force have it read that anew (systemctl reload pbr, or kill -HUP %d); to start another one end it first"
	case "uplink":
		advice = "it starts or ends just now: try again (process %d)"
	}
	return fmt.Errorf("pbr watch runs already (process %d) and keeps this network namespace to its policy: "+advice, locked.PID, locked.PID)
}
