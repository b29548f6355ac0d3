package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/kernel"
)

// watchGCPercent keeps the heap of a program that runs for months small. It allocates next to
// nothing, so that collecting twice as often as by default costs a thousandth of a core.
const watchGCPercent = 50

// shedAfter is how long after a start, or a new policy, the memory that it took is given back: the
// first rounds of checks are over by then.
const shedAfter = 5 * time.Second

// hookPatience is how long an ending watch waits for hooks that run.
const hookPatience = 2 * time.Second

func (c command) watchCommand() *cli.Command {
	return &cli.Command{
		Name:      "watch",
		Usage:     "apply, then check uplinks, fail over and repair drift until stopped",
		ArgsUsage: " ",
		Description: "Runs until SIGTERM, and leaves everything in the kernel as it is then. SIGHUP\n" +
			"reads the policy file in force again; a broken file changes nothing. It tells\n" +
			"systemd when it is ready (sd_notify). Events go to standard error, to the\n" +
			"hook and to the metrics that [watch] names; docs/watch.md describes them.\n" +
			"While it runs, pbr apply, confirm, revert and uplink work through it, and\n" +
			"pbr flush refuses to work in the same network namespace.",
		Action: c.runWatch,
	}
}

func (c command) runWatch(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	debug.SetGCPercent(watchGCPercent)
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	started := extendStart()
	defer started()
	err := withKernel(func(k *kernel.Kernel) error { return c.startWatch(ctx, stop, k, started) })
	if stop.Err() != nil && err != nil { // it was told to end while it started, and ends: no failure
		_ = c.exit(err)
		return nil
	}
	return err
}

// startWatch runs the watch under its lock, and calls started when it is ready.
func (c command) startWatch(ctx *cli.Context, stop context.Context, k *kernel.Kernel, started func()) error {
	unlock, err := c.lockForWatch(stop, k)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := c.startPolicies(ctx, stop, k)
	if err != nil {
		return err
	}
	err = c.report(p.start, p.start.diagnostics)
	if err == nil {
		err = c.refuseNothing(p.start, k)
	}
	if err != nil {
		return c.forManager(err)
	}
	return c.watch(stop, p, k, started)
}

// watch joins the parts and runs them. It calls started before it tells that it is ready.
func (c command) watch(stop context.Context, p *policies, k *kernel.Kernel, started func()) error {
	ctx, cancel := context.WithCancel(stop)
	defer cancel()
	parts, err := c.newWatchParts(ctx, p, k)
	if err != nil {
		return err
	}
	events, err := k.Events(ctx)
	if err != nil {
		return err
	}
	defer parts.shed.Stop()
	w := daemon.New(parts.options(ctx, events, started))
	control, err := daemon.Listen(k.Dir())
	if err != nil {
		return err
	}
	return parts.run(ctx, cancel, w, control)
}

// hangUps reports SIGHUP until ctx ends.
func hangUps(ctx context.Context) <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	out := make(chan struct{})
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
			select {
			case out <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// notifyManager notifies the service manager, if there is one. A reload has to say when it began
// (sd_notify(3)).
func notifyManager(state string) {
	if strings.HasPrefix(state, "RELOADING=1") {
		var now unix.Timespec
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
			state = fmt.Sprintf("%s\nMONOTONIC_USEC=%d", state, now.Nano()/1000)
		}
	}
	_, _ = systemd.SdNotify(false, state) // it watches us, not we it
}

// watchdogInterval is half of what the service manager waits for a sign of life; 0 if it does not.
func watchdogInterval() time.Duration {
	limit, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return limit / 2
}
