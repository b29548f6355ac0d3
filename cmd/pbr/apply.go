package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/render"
)

func (c command) applyCommand() *cli.Command {
	return &cli.Command{
		Name:      "apply",
		Usage:     "make the kernel match the policy, sending only what differs",
		ArgsUsage: " ",
		Description: "Routes first, then ip rules, then one nftables transaction; what goes away goes backwards. If anything\n" +
			"fails, all of it is undone. Parts that need an interface which is not there are left out, and said so.\n" +
			"With --confirm the command returns at once, and everything is undone after that time, even if the\n" +
			"terminal is gone, unless pbr confirm comes first.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "confirm", Usage: "undo after `TIME` (as 60s) unless pbr confirm comes first"},
			jsonFlag(),
		},
		Action: c.runApply,
	}
}

func (c command) runApply(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	wait, err := confirmTime(ctx)
	if err != nil {
		return err
	}
	return c.withPolicy(ctx, func(f *policyFile, k *kernel.Kernel) error {
		return withLock("apply", k, func(stop context.Context) error {
			if err := c.refuseNothing(f, k); err != nil {
				return err
			}
			if err := c.report(f, policy.FallsBack(f.doc)); err != nil {
				return err
			}
			want, err := c.compileLive(f, k)
			if err != nil {
				return err
			}
			if err := c.settlePending(stop, k); err != nil {
				return err
			}
			if wait > 0 {
				return c.applyUntilConfirmed(ctx, stop, k, want, wait)
			}
			return c.apply(ctx, stop, k, want)
		})
	})
}

// confirmTime returns what --confirm asks for, 0 when it is not given.
func confirmTime(ctx *cli.Context) (time.Duration, error) {
	text := ctx.String("confirm")
	if !ctx.IsSet("confirm") {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, usageError("--confirm: %q is no time; write 60s, 5m or 1h", text)
	case wait < time.Second:
		return 0, usageError("--confirm %s is too short: give at least 1s", wait)
	}
	return wait, nil
}

func (c command) apply(ctx *cli.Context, stop context.Context, k *kernel.Kernel, want *plan.Plan) error {
	report, err := k.Apply(stop, want)
	if err != nil {
		return err
	}
	return c.printReport(ctx, report, want.Waiting, "in sync: nothing sent")
}

// applyResult is apply's and flush's JSON.
type applyResult struct {
	Changed  []string      `json:"changed"`
	Warnings []string      `json:"warnings"`
	Waiting  []waitingItem `json:"waiting"`
}

// changedLines tells what an apply or a flush did, a line for each kind of thing.
func changedLines(report *kernel.Report) []string {
	done := render.Summary(report.Changes)
	if n := len(report.Restored); n > 0 {
		done = append(done, fmt.Sprintf("sysctls: %d restored", n))
	}
	if report.Cleared > 0 {
		done = append(done, fmt.Sprintf("connections: %d unmarked", report.Cleared))
	}
	if report.Restarted > 0 {
		done = append(done, fmt.Sprintf("connections: %d of a strict table that is gone cut", report.Restarted))
	}
	if report.Pinned > 0 {
		done = append(done, fmt.Sprintf("connections: %d pinned to the uplink that default leaves", report.Pinned))
	}
	if report.Moved > 0 {
		done = append(done, fmt.Sprintf("connections: %d given their uplink's new mark", report.Moved))
	}
	return done
}

// printReport prints what was done, or nothing if nothing was.
func (c command) printReport(ctx *cli.Context, report *kernel.Report, waiting []plan.Waiting, nothing string) error {
	done := changedLines(report)
	if ctx.Bool("json") {
		return printJSON(c.stdout, applyResult{
			Changed:  append([]string{}, done...),
			Warnings: append([]string{}, report.Warnings...),
			Waiting:  waitingJSON(waiting),
		})
	}
	for _, line := range done {
		fmt.Fprintln(c.stdout, line)
	}
	if len(done) == 0 {
		fmt.Fprintln(c.stdout, nothing)
	}
	for _, w := range report.Warnings {
		fmt.Fprintf(c.stderr, "pbr: warning: %s\n", w)
	}
	first, more := render.FirstWaiting(waiting)
	for _, w := range first {
		fmt.Fprintf(c.stderr, "pbr: %s waits: %s\n", w.Object, w.Reason)
	}
	if more > 0 {
		fmt.Fprintf(c.stderr, "pbr: %d more wait: pbr diff --json has all of them\n", more)
	}
	return nil
}
