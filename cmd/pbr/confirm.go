package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"pbr/compiler/plan"
	"pbr/kernel"
)

func (c command) confirmCommand() *cli.Command {
	return &cli.Command{
		Name:        "confirm",
		Usage:       "keep what apply --confirm did",
		ArgsUsage:   " ",
		Description: "Ends the time that apply --confirm set. Exit status 1 when there is nothing to confirm.",
		Action:      c.runConfirm,
	}
}

func (c command) runConfirm(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	return c.withKernel("confirm", func(_ context.Context, k *kernel.Kernel) error {
		pending, err := k.Pending()
		if err != nil {
			return err
		}
		if pending == nil {
			return errors.New("nothing waits to be confirmed: there was no apply --confirm, or its time is over and it was undone")
		}
		if err := k.ClearPending(); err != nil {
			return err
		}
		fmt.Fprintln(c.stdout, "confirmed: the applied policy stays")
		return nil
	})
}

// refusePending keeps a second change from being undone along with the first one.
func refusePending(k *kernel.Kernel) error {
	pending, err := k.Pending()
	if err != nil || pending == nil {
		return err
	}
	return fmt.Errorf("the last apply still waits to be confirmed until %s: run pbr confirm to keep it, pbr flush to drop everything, or wait until it is undone",
		pending.Deadline.Format(time.TimeOnly))
}

// applyUntilConfirmed applies, and leaves a process behind that undoes it at the deadline. The
// process is started first: should this one die half-way, all of it is undone too.
func (c command) applyUntilConfirmed(ctx *cli.Context, stop context.Context, k *kernel.Kernel, want *plan.Plan, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	pending, err := k.SetPending(want, deadline)
	if err != nil {
		return err
	}
	if err := startRevert(pending, deadline); err != nil {
		return errors.Join(err, k.ClearPending())
	}
	if err := c.apply(ctx, stop, k, want); err != nil {
		return errors.Join(err, k.ClearPending())
	}
	fmt.Fprintf(c.stderr, "pbr: undone at %s unless pbr confirm comes first\n", deadline.Format(time.TimeOnly))
	return nil
}

// startRevert starts this program again, in a session of its own and without a terminal.
func startRevert(pending *kernel.Pending, deadline time.Time) error {
	cmd := exec.Command("/proc/self/exe", "revert", "--token", pending.Token, "--at", deadline.Format(time.RFC3339Nano))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the process that would undo the change: %w", err)
	}
	return cmd.Process.Release()
}

// revertCommand is what apply --confirm leaves running; people have no use for it.
func (c command) revertCommand() *cli.Command {
	return &cli.Command{
		Name:   "revert",
		Hidden: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "token"},
			&cli.TimestampFlag{Name: "at", Layout: time.RFC3339Nano},
		},
		Action: c.runRevert,
	}
}

func (c command) runRevert(ctx *cli.Context) error {
	at, token := ctx.Timestamp("at"), ctx.String("token")
	if at == nil || token == "" {
		return usageError("revert is run by apply --confirm")
	}
	// The terminal's end must not end this. A TERM is a shutdown or the end of the login session:
	// then the change is undone at once rather than never.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()

	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return err
	}
	defer k.Close()
	if !waitUnconfirmed(stop, k, token, *at) {
		return nil
	}
	unlock, err := k.LockWait(context.Background(), "undo of an unconfirmed apply")
	if err != nil {
		return err
	}
	defer unlock()
	if pending, err := k.Pending(); err != nil || pending == nil || pending.Token != token {
		return err
	}
	_, err = k.Revert(context.Background())
	return err
}

// pendingPoll is how often a waiting revert looks whether it was confirmed. It does not
// matter to anyone: a confirmed one that ends late does nothing.
const pendingPoll = time.Second

// waitUnconfirmed waits for the deadline, or a signal, and tells whether the change is still unconfirmed.
func waitUnconfirmed(stop context.Context, k *kernel.Kernel, token string, deadline time.Time) bool {
	for {
		pending, err := k.Pending()
		if err == nil && (pending == nil || pending.Token != token) {
			return false
		}
		left := time.Until(deadline)
		if left <= 0 || stop.Err() != nil {
			return true
		}
		select {
		case <-time.After(min(left, pendingPoll)):
		case <-stop.Done():
		}
	}
}
