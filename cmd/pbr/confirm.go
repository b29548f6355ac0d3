package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	return withKernel("confirm", func(_ context.Context, k *kernel.Kernel) error {
		pending, err := k.Pending()
		if err != nil {
			return err
		}
		if pending == nil {
			return errors.New("nothing waits to be confirmed: there was no apply --confirm, or its time is over and it was undone")
		}
		if !pending.Guarded || pending.Failure != "" {
			fmt.Fprintf(c.stderr, "pbr: %s\n", pendingText(pending))
		}
		if err := k.ClearPending(); err != nil {
			return err
		}
		fmt.Fprintln(c.stdout, "confirmed: the applied policy stays")
		return nil
	})
}

// pendingText tells how it stands with an apply that nobody has confirmed.
func pendingText(p *kernel.Pending) string {
	at := time.Now().Add(p.Left).Format(time.TimeOnly)
	switch {
	case p.Guarded && p.Failure != "":
		return fmt.Sprintf("the last apply was to be undone at %s; that failed, and is tried again: %s", at, p.Failure)
	case p.Failure != "":
		return fmt.Sprintf("the last apply was to be undone at %s, but that failed: %s", at, p.Failure)
	case p.Guarded && p.Left <= 0:
		return "the last apply was not confirmed in time and is being undone"
	case p.Guarded:
		return "the last apply still waits to be confirmed until " + at
	case p.Left > 0:
		return fmt.Sprintf("the last apply waits to be confirmed until %s, but the process that would undo it then is gone", at)
	}
	return fmt.Sprintf("the last apply was to be undone at %s, but the process that was to do it is gone", at)
}

// tellPending says so when an apply waits to be confirmed.
func (c command) tellPending(k *kernel.Kernel) error {
	pending, err := k.Pending()
	if err == nil && pending != nil {
		fmt.Fprintf(c.stderr, "pbr: %s\n", pendingText(pending))
	}
	return err
}

// settlePending keeps a second change from being undone along with the first one: that has to be confirmed or undone before. What
// nobody will undo any more is undone here.
func (c command) settlePending(stop context.Context, k *kernel.Kernel) error {
	pending, err := k.Pending()
	if err != nil || pending == nil {
		return err
	}
	const either = "run pbr confirm to keep it, pbr flush to drop everything"
	switch {
	case pending.Guarded:
		return fmt.Errorf("%s: %s, or wait until it is undone", pendingText(pending), either)
	case pending.Left > 0:
		return fmt.Errorf("%s: %s, or apply after that time, which undoes it first", pendingText(pending), either)
	}
	fmt.Fprintf(c.stderr, "pbr: %s: undoing it first\n", pendingText(pending))
	report, err := k.Revert(stop)
	if err != nil {
		return fmt.Errorf("undoing the last apply, which was not confirmed: %w; %s", err, either)
	}
	for _, w := range report.Warnings {
		fmt.Fprintf(c.stderr, "pbr: warning: %s\n", w)
	}
	return nil
}

// applyUntilConfirmed applies, and leaves a process behind that undoes it after wait. The
// process is started first: should this one die half-way, all of it is undone too.
func (c command) applyUntilConfirmed(ctx *cli.Context, stop context.Context, k *kernel.Kernel, want *plan.Plan, wait time.Duration) error {
	pending, guard, err := k.SetPending(want, wait)
	if err != nil {
		return err
	}
	if err := errors.Join(startRevert(pending, guard), guard.Close()); err != nil {
		return errors.Join(err, k.ClearPending())
	}
	if err := c.apply(ctx, stop, k, want); err != nil {
		return errors.Join(err, k.ClearPending())
	}
	fmt.Fprintf(c.stderr, "pbr: undone at %s unless pbr confirm comes first\n", time.Now().Add(pending.Left).Format(time.TimeOnly))
	return nil
}

// startRevert starts this program again, in a session of its own and without a terminal. It has the guard open until it ends.
func startRevert(pending *kernel.Pending, guard *os.File) error {
	cmd := exec.Command("/proc/self/exe", "revert", "--token", pending.Token)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{guard}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the process that would undo the change: %w", err)
	}
	return cmd.Process.Release()
}
