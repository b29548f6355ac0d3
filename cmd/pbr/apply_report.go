package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"pbr/cmd/pbr/daemon"
	"pbr/kernel"
	"pbr/render"
)

// inSync is what apply says when it has nothing to do.
const inSync = "in sync: nothing sent"

// applyResult is apply's, revert's and flush's JSON.
type applyResult struct {
	Changed  []string      `json:"changed"`
	Warnings []string      `json:"warnings"`
	Waiting  []waitingItem `json:"waiting"`
	// Until is when it is undone unless it is confirmed.
	Until *time.Time `json:"until,omitempty"`
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
	if report.Adopted > 0 {
		done = append(done, fmt.Sprintf("connections: %d that are older than the table pinned to their uplink", report.Adopted))
	}
	if report.Flushed > 0 {
		done = append(done, fmt.Sprintf("connections: %d that are older than the table flushed, which start anew", report.Flushed))
	}
	if report.Moved > 0 {
		done = append(done, fmt.Sprintf("connections: %d given their uplink's new mark", report.Moved))
	}
	return done
}

// printApplied prints what was done, or nothing if nothing was.
func (c command) printApplied(ctx *cli.Context, done *daemon.Applied, nothing string) error {
	if ctx.Bool("json") {
		return printJSON(c.stdout, applyResult{
			Changed:  append([]string{}, done.Changed...),
			Warnings: append([]string{}, done.Warnings...),
			Waiting:  waitingJSON(done.Waiting),
			Until:    done.Until,
		})
	}
	for _, line := range done.Changed {
		fmt.Fprintln(c.stdout, line)
	}
	if len(done.Changed) == 0 {
		fmt.Fprintln(c.stdout, nothing)
	}
	for _, w := range done.Warnings {
		fmt.Fprintf(c.stderr, "pbr: warning: %s\n", w)
	}
	first, more := render.FirstWaiting(done.Waiting)
	for _, w := range first {
		fmt.Fprintf(c.stderr, "pbr: %s waits: %s\n", w.Object, w.Reason)
	}
	if more > 0 {
		fmt.Fprintf(c.stderr, "pbr: %d more wait: pbr diff --json has all of them\n", more)
	}
	return nil
}
