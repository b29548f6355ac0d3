package main

import (
	"context"
	"errors"
	"log/syslog"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/kernel"
)

const (
	// pendingPoll is how often a waiting revert looks whether it was confirmed. It does not
	// matter to anyone: a confirmed one that ends late does nothing.
	pendingPoll = time.Second
	// An undo that fails, as by a lack of memory or by someone who changes the same at the same
	// time, is tried again: after firstRetry, then after twice as long each time, up to lastRetry.
	firstRetry = time.Second
	lastRetry  = time.Minute
)

func (c command) revertCommand() *cli.Command {
	return &cli.Command{
		Name:      "revert",
		Usage:     "undo now what apply --confirm did",
		ArgsUsage: " ",
		Description: "Goes back to the policy before apply --confirm without waiting for the end of\n" +
			"its time. The policy file stays as it is, but counts as rejected: until it is\n" +
			"edited, only pbr apply applies it again. If that takes hosts behind this\n" +
			"machine offline, it prints the commands that bring them back, as flush does;\n" +
			"they are in the system log if the time of apply --confirm ends. Exit status 1\n" +
			"if there is nothing to undo.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "token", Hidden: true, Usage: "wait until that apply's time is over"},
			// what apply --confirm leaves running
			lockWaitFlag(), jsonFlag(),
		},
		Action: c.runRevert,
	}
}

func (c command) runRevert(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	if token := ctx.String("token"); token != "" {
		return c.revertLater(token)
	}
	return withKernel(func(k *kernel.Kernel) error {
		done, err := c.change(ctx, k, func(stop context.Context) (*daemon.Applied, error) { return c.revertNow(stop, k) })
		if err != nil {
			return err
		}
		err = c.printApplied(ctx, done, "undone: the kernel already was as before")
		c.printLost(done.Lost)
		return err
	})
}

// revertNow undoes what waits, without a watch.
func (c command) revertNow(stop context.Context, k *kernel.Kernel) (*daemon.Applied, error) {
	pending, err := k.Pending()
	if err != nil {
		return nil, err
	}
	if pending == nil {
		return nil, daemon.ErrNothingToRevert
	}
	return c.undo(stop, k)
}

// revertLater is what apply --confirm leaves running.
func (c command) revertLater(token string) error {
	// The terminal's end must not end this. A TERM is a shutdown or the end of the login session:
	// then the change is undone at once rather than never.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	return withKernel(func(k *kernel.Kernel) error {
		r := revert{command: c.quietly(), k: k, token: token}
		for r.waitUnconfirmed(stop) {
			if err := r.retry(stop); err != nil {
				return err
			}
		}
		return nil
	})
}

// revert is the undoing of one unconfirmed apply.
type revert struct {
	command
	k     *kernel.Kernel
	token string
}

// waits reports whether the apply still waits, and how long.
func (r revert) waits() (waits bool, left time.Duration, err error) {
	pending, err := r.k.Pending()
	if err != nil || pending == nil || pending.Token != r.token {
		return err != nil, 0, err
	}
	return true, pending.Left, nil
}

// waitUnconfirmed waits for the time to be over, or a signal, and reports whether the change is
// still unconfirmed.
func (r revert) waitUnconfirmed(stop context.Context) bool {
	for {
		waits, left, err := r.waits()
		if !waits {
			return false
		}
		if stop.Err() != nil || err == nil && left <= 0 {
			return true
		}
		if err != nil {
			left = pendingPoll
		}
		pause(stop, min(left, pendingPoll))
	}
}

// retry undoes the change, again and again until it succeeds or nothing waits any more. After a
// signal it tries once.
func (r revert) retry(stop context.Context) error {
	told := ""
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := r.once(stop)
		if err == nil {
			return nil
		}
		if err.Error() != told {
			told = err.Error()
			toSyslog("undoing the apply that was not confirmed: " + told)
		}
		if stop.Err() != nil {
			return err
		}
		pause(stop, wait)
	}
}

// once undoes the change when the lock is free, however long that takes: another command ends, and
// a watch undoes it itself. If an apply that ended meanwhile renewed the time, once does nothing.
func (r revert) once(stop context.Context) error {
	for {
		unlock, err := r.k.Lock("undo of an unconfirmed apply")
		var locked *kernel.LockedError
		if !errors.As(err, &locked) {
			if err != nil {
				return err
			}
			defer unlock()
			break
		}
		if waits, _, _ := r.waits(); !waits {
			return nil
		}
		if stop.Err() != nil {
			return err
		}
		pause(stop, lockPoll)
	}
	if waits, left, err := r.waits(); err != nil || !waits || left > 0 && stop.Err() == nil {
		return err
	}
	done, err := r.undo(context.Background(), r.k)
	if err != nil {
		return err
	}
	for _, w := range slices.Concat(done.Warnings, done.Lost) {
		toSyslog("undoing the apply that was not confirmed: " + w)
	}
	return nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, wait time.Duration) {
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
}

// toSyslog writes to the system log, if there is one, because this process has no terminal.
// Failures are also recorded in the state directory, from which the next command reports them.
func toSyslog(text string) {
	w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_WARNING, "pbr")
	if err != nil {
		return
	}
	defer w.Close()
	_ = w.Warning(text)
}
