package main

import (
	"errors"
	"fmt"
	"time"

	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/kernel"
)

// showEvents prints the last events, of the running watch or of the last one.
func (c command) showEvents(ctx *cli.Context, k *kernel.Kernel) error {
	var events []daemon.PastEvent
	answer, err := daemon.Ask(k.Dir(), daemon.Request{Do: "events"})
	switch {
	case err == nil:
		events = answer.Events
	case errors.Is(err, daemon.ErrNotRunning):
		events, err = daemon.PastEvents(healthPath(k))
	}
	if err != nil {
		return err
	}
	if ctx.Bool("json") {
		return printJSON(c.stdout, append([]daemon.PastEvent{}, events...))
	}
	rows := [][]string{{"TIME", "UPLINK", "VERSION", "FROM", "TO", "REASON"}}
	for _, e := range events {
		rows = append(rows, []string{e.Time.Local().Format(time.DateTime), e.Uplink, e.Version, string(e.From), string(e.To), e.Reason})
	}
	if len(rows) == 1 {
		_, err := fmt.Fprintln(c.stdout, "no events yet")
		return err
	}
	writeRows(c.stdout, rows, func(int, int) string { return "" })
	return nil
}
