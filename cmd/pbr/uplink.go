package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"pbr/healthcheck"
	"pbr/healthcheck/watch"
	"pbr/kernel"
)

// uplinkModes are what an uplink can be told.
var uplinkModes = []string{healthcheck.ForceUp, healthcheck.ForceDown, healthcheck.ForceAuto}

func (c command) uplinkCommand() *cli.Command {
	return &cli.Command{
		Name:      "uplink",
		Usage:     "take an uplink out of use or into it, whatever its checks say",
		ArgsUsage: "NAME up|down|auto",
		Description: "Tells the running pbr watch. down: no new connections, and those that run are cut, as when it fails. up: used\n" +
			"even though its checks fail. auto: by its checks again. What it was told survives a restart of pbr watch.\n" +
			"It is done when the command returns.",
		Action: c.runUplink,
	}
}

func (c command) runUplink(ctx *cli.Context) error {
	args := ctx.Args()
	if args.Len() != 2 || !slices.Contains(uplinkModes, args.Get(1)) {
		return usageError("write pbr uplink NAME %s", strings.Join(uplinkModes, "|"))
	}
	k, err := kernel.Open(kernel.DefaultStateDir)
	if err != nil {
		return err
	}
	defer k.Close()
	if _, err := watch.Ask(k.Dir(), watch.Request{Do: "force", Uplink: args.Get(0), Mode: args.Get(1)}); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "uplink %s: %s\n", args.Get(0), args.Get(1))
	return nil
}
