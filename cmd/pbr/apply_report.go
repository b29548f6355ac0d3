package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
	"pbr/kernel"
	"pbr/render"
)

// inSync is what apply says when it has nothing to do.
const inSync = "in sync: nothing sent"

// applyResult is apply's, revert's and flush's JSON, and most of diff's.
type applyResult struct {
	// InSync reports whether nothing was, or is, to be done.
	InSync bool `json:"in_sync"`
	// Changes has what was done, or would be, object by object; Changed the same for people, a line
	// for each kind of thing.
	Changes  []json.RawMessage `json:"changes"`
	Changed  []string          `json:"changed"`
	Warnings []string          `json:"warnings"`
	Deferred []deferredItem    `json:"waiting"`
	// Until is when it is undone unless it is confirmed.
	Until *time.Time `json:"until,omitempty"`
}

// changedConnections is what an apply or a flush did to connections.
func changedConnections(report *kernel.Report) (list []connectionsChange) {
	for _, c := range []connectionsChange{
		{"unmark", report.Cleared, "connections: %d unmarked"},
		{"flush", report.Restarted, "connections: %d of a strict table that is gone flushed"},
		{"pin", report.Pinned, "connections: %d pinned to the uplink that default no longer uses"},
		{"pin", report.Adopted, "connections: %d older than the table pinned to their uplink"},
		{"flush", report.Flushed, "connections: %d older than the table flushed: their next packet starts a new one"},
		{"mark", report.Moved, "connections: %d got their uplink's new mark"},
	} {
		if c.n > 0 {
			c.text = fmt.Sprintf(c.text, c.n)
			list = append(list, c)
		}
	}
	return list
}

// connectionsChange is one thing that was done to connections.
type connectionsChange struct {
	op   string
	n    int
	text string
}

// changedLines describes what an apply or a flush did, a line for each kind of change.
func changedLines(report *kernel.Report) []string {
	done := render.Summary(report.Changes)
	if n := len(report.Restored); n > 0 {
		done = append(done, fmt.Sprintf("sysctls: %d restored", n))
	}
	done = append(done, forwardingEnded(report.Restored)...)
	for _, c := range changedConnections(report) {
		done = append(done, c.text)
	}
	return done
}

// forwardingEnded says that this machine forwards no more: nothing else that restored settings do
// cuts all its clients off.
func forwardingEnded(restored []plan.SysctlChange) (lines []string) {
	for _, s := range restored {
		version := map[string]string{"net/ipv4/ip_forward": "IPv4", "net/ipv6/conf/all/forwarding": "IPv6"}[s.Path]
		if version != "" && s.Want == "0" {
			lines = append(lines, fmt.Sprintf("forwarding of %s: off, as before pbr switched it on (%s = 0): "+
				"a policy for others' traffic with [pbr] sysctl = true switches it on, for IP versions that an uplink carries",
				version, strings.ReplaceAll(s.Path, "/", ".")))
		}
	}
	return lines
}

// changedObjects describes the same for programs, object by object. plans name the routing tables.
func changedObjects(report *kernel.Report, plans ...*plan.Plan) []json.RawMessage {
	list := render.ChangesOf(report.Changes, plans...)
	for _, s := range report.Restored {
		list = append(list, render.SysctlChanged("restore", s))
	}
	for _, c := range changedConnections(report) {
		list = append(list, render.ConnectionsChanged(c.op, c.n, c.text))
	}
	return rawChanges(list)
}

// rawChanges are changes as they are sent and printed.
func rawChanges(list []render.Change) []json.RawMessage {
	out := make([]json.RawMessage, 0, len(list))
	for _, c := range list {
		if text, err := json.Marshal(c); err == nil {
			out = append(out, text)
		}
	}
	return out
}

// printApplied prints what was done, or nothing if nothing was.
func (c command) printApplied(ctx *cli.Context, done *daemon.Applied, nothing string) error {
	if ctx.Bool("json") {
		return printJSON(c.stdout, applyResult{
			InSync:   len(done.Changed) == 0,
			Changes:  append([]json.RawMessage{}, done.Changes...),
			Changed:  append([]string{}, done.Changed...),
			Warnings: append([]string{}, done.Warnings...),
			Deferred: deferredJSON(done.Deferred),
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
	first, more := render.FirstDeferred(done.Deferred)
	for _, w := range first {
		fmt.Fprintf(c.stderr, "pbr: %s deferred: %s\n", w.Object, w.Reason)
	}
	if more > 0 {
		fmt.Fprintf(c.stderr, "pbr: %d more are deferred: pbr diff --json lists all of them\n", more)
	}
	return nil
}
