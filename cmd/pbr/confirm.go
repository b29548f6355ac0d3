package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/kernel"
)

func (c command) confirmCommand() *cli.Command {
	return &cli.Command{
		Name:      "confirm",
		Usage:     "keep what apply --confirm did",
		ArgsUsage: " ",
		Description: "After it, the change is not undone any more. Exit status 1 if there is\n" +
			"nothing to confirm.",
		Flags:  []cli.Flag{lockWaitFlag()},
		Action: c.runConfirm,
	}
}

func (c command) runConfirm(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	return withKernel(func(k *kernel.Kernel) error {
		_, err := c.change(ctx, k, func(context.Context) (*daemon.Applied, error) { return &daemon.Applied{}, c.confirm(k) })
		if err == nil {
			fmt.Fprintln(c.stdout, "confirmed: the applied policy stays")
		}
		return err
	})
}

// change does what the command's name says, through the running watch, or under the lock without
// one.
func (c command) change(ctx *cli.Context, k *kernel.Kernel,
	alone func(context.Context) (*daemon.Applied, error)) (done *daemon.Applied, err error) {
	for {
		err = c.withLock(ctx, k, func(stop context.Context) (err error) {
			done, err = alone(stop)
			return err
		})
		if !errors.Is(err, errWatch) {
			return done, err
		}
		if done, err = daemon.Change(k.Dir(), ctx.Command.Name); !errors.Is(err, daemon.ErrNotRunning) {
			return done, err
		}
	}
}

// confirm keeps what waits, without a watch.
func (c command) confirm(k *kernel.Kernel) error {
	pending, err := k.Pending()
	if err != nil {
		return err
	}
	if pending == nil {
		return daemon.ErrNothingWaits
	}
	if !pending.Guarded || pending.Failure != "" {
		fmt.Fprintf(c.stderr, "pbr: %s\n", pendingText(pending))
	}
	if err := k.ClearPending(); err != nil {
		return err
	}
	s := applied.Open(k.Dir())
	if trial, err := s.Trial(); err == nil {
		c.warnOf("recording the policy in force", s.Keep(trial, ""))
	}
	return nil
}

// pendingText describes an apply that nobody has confirmed.
func pendingText(p *kernel.Pending) string {
	at := time.Now().Add(p.Left).Format(time.TimeOnly)
	switch {
	case p.Guarded && p.Failure != "":
		return fmt.Sprintf("undoing the last apply at %s failed, and is tried again: %s", at, p.Failure)
	case p.Failure != "":
		return fmt.Sprintf("undoing the last apply at %s failed: %s", at, p.Failure)
	case p.Guarded && p.Left <= 0:
		return "the last apply was not confirmed in time and is being undone"
	case p.Guarded:
		return fmt.Sprintf("the last apply still waits to be confirmed until %s (%s left)", at, p.Left.Round(time.Second))
	case p.Left > 0:
		return fmt.Sprintf("the last apply waits to be confirmed until %s, but the process that would undo it is gone", at)
	}
	return fmt.Sprintf("the last apply had to be undone at %s, but the process for that is gone", at)
}

// reportPending says so when an apply waits to be confirmed, or the journal is damaged.
func (c command) reportPending(k *kernel.Kernel) error {
	if err := k.DamagedJournal(); err != nil {
		fmt.Fprintf(c.stderr, "pbr: warning: %v\n", err)
	}
	pending, err := k.Pending()
	if err == nil && pending != nil {
		fmt.Fprintf(c.stderr, "pbr: %s\n", pendingText(pending))
	}
	return err
}

// finishPending makes sure that a second change is not undone together with the first one, which
// has to be confirmed or undone before. If no process will undo it any more, finishPending does.
func (c command) finishPending(stop context.Context, k *kernel.Kernel) error {
	pending, err := k.Pending()
	if err != nil || pending == nil {
		return err
	}
	const either = "run pbr confirm to keep it, or pbr revert to undo it now"
	if pending.Guarded || pending.Left > 0 {
		return daemon.Decline("%s: %s", pendingText(pending), either)
	}
	fmt.Fprintf(c.stderr, "pbr: %s: undoing it first\n", pendingText(pending))
	done, err := c.undo(stop, k)
	if err != nil {
		return fmt.Errorf("undoing the last apply, which was not confirmed: %w; run pbr confirm to keep it, "+
			"or pbr flush to remove everything", err)
	}
	for _, w := range done.Warnings {
		fmt.Fprintf(c.stderr, "pbr: warning: %s\n", w)
	}
	return nil
}

// applyUntilConfirmed applies, and leaves a process behind that undoes it after wait. The process
// is started first: should this one die half-way, all of it is undone too. An undo that waits is
// given up only where nothing was changed.
func (c command) applyUntilConfirmed(
	stop context.Context, k *kernel.Kernel, o *applyOptions, f *policyFile, now *situation, want *plan.Plan,
) (*daemon.Applied, error) {
	s := applied.Open(k.Dir())
	if err := s.BeginTrial(f.text); err != nil {
		return nil, err
	}
	pending, guard, err := k.SetPending(want, o.confirm)
	if err == nil {
		_, err = startRevert(pending, guard)
	}
	if err != nil {
		return nil, errors.Join(err, k.ClearPending(), s.EndTrial())
	}
	until := time.Now().Add(pending.Left)
	done, err := c.applyPlan(stop, k, o, f, now, want)
	if err != nil {
		dropped, dropErr := k.DropPending(want)
		if dropped {
			dropErr = s.EndTrial()
		} else {
			fmt.Fprintf(c.stderr, "pbr: the apply failed, and the rollback was incomplete: it is repaired "+
				"at %s, or run pbr revert now\n", until.Format(time.TimeOnly))
		}
		return nil, errors.Join(err, dropErr)
	}
	if renewed, err := k.RenewPending(o.confirm); err == nil { // what the apply took does not count
		until = time.Now().Add(renewed.Left)
	} else {
		c.warnOf("the time to confirm counts from before the apply", err)
	}
	done.Until = &until
	return done, nil
}

func (c command) printDeadline(until time.Time) {
	fmt.Fprintf(c.stderr, "pbr: undone at %s unless pbr confirm comes first\n", until.Format(time.TimeOnly))
}

// startRevert starts this program again, in a session of its own and without a terminal. It has the
// guard open until it ends; this process no longer has.
func startRevert(pending *kernel.Pending, guard *os.File) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", "revert", "--token", pending.Token)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{guard}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err := cmd.Start()
	if err != nil {
		err = fmt.Errorf("starting the process that would undo the change: %w", err)
	}
	return cmd, errors.Join(err, guard.Close())
}
