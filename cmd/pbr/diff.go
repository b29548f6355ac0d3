package main

import (
	"bytes"
	"errors"
	"fmt"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/insync"
	"pbr/compiler/plan"
	"pbr/kernel"
	"pbr/render"
)

func (c command) diffCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "show what apply would change: planned against live state",
		ArgsUsage: " ",
		Description: "Lines with - are live but not planned, lines with + are planned but not live.\n" +
			"It also shows what others changed in pbr's objects. Before the first apply\n" +
			"its last line says how much is new. Exit status 0 if nothing differs, 2 if\n" +
			"something does, 1 on an error.",
		Flags:  []cli.Flag{fullFlag(), jsonFlag()},
		Action: c.runDiff,
	}
}

// diffResult is diff's JSON.
type diffResult struct {
	applyResult
	// Diff is the difference as diff prints it without --json.
	Diff string `json:"diff"`
}

func (c command) runDiff(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	return c.compareWithLive(ctx)
}

// compareWithLive is diff, unless everything is as it was when nothing differed.
func (c command) compareWithLive(ctx *cli.Context) error {
	if k, err := kernel.Open(kernel.DefaultStateDir); err == nil {
		defer k.Close()
		if r := inSyncStill(ctx, k); r != nil {
			return c.printNoDiff(ctx, k, r.Record)
		}
	}
	c.spareCollector(fileOf(ctx))
	return c.withPolicy(ctx, func(f *policyFile, k *kernel.Kernel) error {
		if ctx.Bool(fullName) {
			k.CompareAll()
		}
		return c.diff(ctx, f, k)
	})
}

// printNoDiff prints what diff does where nothing differs.
func (c command) printNoDiff(ctx *cli.Context, k *kernel.Kernel, r *insync.Record) error {
	if err := errors.Join(c.report(reread(r), r.Parsed), c.reportPending(k)); err != nil {
		return err
	}
	none := &plan.Plan{Deferred: r.Deferred}
	return c.printDiff(ctx, none, none, &plan.Changes{})
}

func (c command) diff(ctx *cli.Context, f *policyFile, k *kernel.Kernel) error {
	now, want, err := c.compileNow(f, k)
	if err != nil {
		return err
	}
	if err := c.reportPending(k); err != nil {
		return err
	}
	have, held, err := k.LiveHeld(want)
	if err != nil {
		return err
	}
	changes := plan.Diff(have, want)
	if err := c.printDiff(ctx, have, want, changes); err != nil {
		return err
	}
	if !changes.Empty() {
		return exitCode(exitDiffers)
	}
	if r := (&found{file: f, now: now, want: want, held: held}).record(); r != nil {
		r.Keep(recordFile(k))
	}
	return nil
}

// printDiff prints a difference.
func (c command) printDiff(ctx *cli.Context, have, want *plan.Plan, changes *plan.Changes) error {
	if ctx.Bool("json") {
		return c.printDiffJSON(have, want, changes)
	}
	if err := render.Diff(c.stdout, have, want, changes, colour(c.stdout)); err != nil {
		return err
	}
	if first := render.FirstTime(have, changes); first != "" {
		fmt.Fprintln(c.stdout, "\n"+first)
	}
	return nil
}

func (c command) printDiffJSON(have, want *plan.Plan, changes *plan.Changes) error {
	var text bytes.Buffer
	if err := render.Diff(&text, have, want, changes, false); err != nil {
		return fmt.Errorf("printing the difference: %w", err)
	}
	return printJSON(c.stdout, diffResult{applyResult{
		InSync: changes.Empty(), Changes: rawChanges(render.ChangesOf(changes, have, want)),
		Changed:  append([]string{}, render.Summary(changes)...),
		Warnings: []string{}, Deferred: deferredJSON(want.Deferred),
	}, text.String()})
}
