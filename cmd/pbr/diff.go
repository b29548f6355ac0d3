package main

import (
	"bytes"
	"fmt"

	"github.com/urfave/cli/v2"

	"pbr/compiler/plan"
	"pbr/kernel"
	"pbr/render"
)

func (c command) diffCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "show what apply would change: planned against live state",
		ArgsUsage: " ",
		Description: "Lines with - are live and not planned, lines with + are planned and not live; what others changed in pbr's\n" +
			"objects shows too. Exit status 0 when nothing differs, 2 when something does, 1 on an error.",
		Flags:  []cli.Flag{jsonFlag()},
		Action: c.runDiff,
	}
}

// diffResult is diff's JSON.
type diffResult struct {
	applyResult
	// Diff is what diff prints without --json.
	Diff string `json:"diff"`
}

func (c command) runDiff(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	return c.withPolicy(ctx, func(f *policyFile, k *kernel.Kernel) error { return c.diff(ctx, f, k) })
}

func (c command) diff(ctx *cli.Context, f *policyFile, k *kernel.Kernel) error {
	want, err := c.compileLive(f, k)
	if err != nil {
		return err
	}
	if err := c.reportPending(k); err != nil {
		return err
	}
	have, err := k.Live(want)
	if err != nil {
		return err
	}
	changes := plan.Diff(have, want)
	if ctx.Bool("json") {
		err = c.printDiffJSON(have, want, changes)
	} else {
		err = render.Diff(c.stdout, have, want, changes, colour(c.stdout))
	}
	if err != nil {
		return err
	}
	if !changes.Empty() {
		return exitCode(exitDiffers)
	}
	return nil
}

func (c command) printDiffJSON(have, want *plan.Plan, changes *plan.Changes) error {
	var text bytes.Buffer
	if err := render.Diff(&text, have, want, changes, false); err != nil {
		return fmt.Errorf("printing the difference: %w", err)
	}
	return printJSON(c.stdout, diffResult{applyResult{
		InSync: changes.Empty(), Changes: rawChanges(render.ChangesOf(changes, have, want)), Changed: append([]string{}, render.Summary(changes)...),
		Warnings: []string{}, Waiting: waitingJSON(want.Waiting),
	}, text.String()})
}
