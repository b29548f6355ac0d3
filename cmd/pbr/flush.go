package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"pbr/kernel"
)

func (c command) flushCommand() *cli.Command {
	return &cli.Command{
		Name:      "flush",
		Usage:     "take away everything pbr owns, and nothing else",
		ArgsUsage: " ",
		Description: "Removes nftables table inet pbr, pbr's ip rules and routes, its bits in connection marks, and restores the\n" +
			"sysctls that apply had set; what pbr uplink had forced is forgotten. Needs no policy file. Connections go on by the kernel's main table.",
		Flags:  []cli.Flag{jsonFlag()},
		Action: c.runFlush,
	}
}

func (c command) runFlush(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	return withKernel("flush", func(stop context.Context, k *kernel.Kernel) error {
		if err := k.ClearPending(); err != nil {
			return err
		}
		report, err := k.Flush(stop)
		if err != nil {
			return err
		}
		if err := forgetHealth(k); err != nil {
			return err
		}
		return c.printReport(ctx, report, nil, "nothing of pbr's was there")
	})
}
