package main

import (
	"context"
	"errors"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/sources"
	"pbr/kernel"
	"pbr/kernel/members"
	"pbr/kernel/state"
)

func (c command) flushCommand() *cli.Command {
	return &cli.Command{
		Name:      "flush",
		Usage:     "remove everything that pbr owns, and nothing else",
		ArgsUsage: " ",
		Description: "Removes nftables table inet pbr, pbr's ip rules and routes, its bits in\n" +
			"connection marks, and restores the sysctls that apply changed; orders of pbr\n" +
			"uplink are deleted. Needs no policy file. Connections go on over the kernel's\n" +
			"main table, without pbr's NAT. If forwarding was off before pbr, it is off again.\n" +
			"flush then prints the commands that bring hosts behind this machine back online.",
		Flags:  []cli.Flag{lockWaitFlag(), jsonFlag()},
		Action: c.runFlush,
	}
}

func (c command) runFlush(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	return withKernel(func(k *kernel.Kernel) error {
		err := c.withLock(ctx, k, func(stop context.Context) error { return c.flush(ctx, stop, k) })
		if errors.Is(err, errWatch) {
			return watchRuns(k, "stop it first (systemctl stop pbr, or kill %d)")
		}
		return err
	})
}

func (c command) flush(ctx *cli.Context, stop context.Context, k *kernel.Kernel) error {
	if err := k.ClearPending(); err != nil {
		return err
	}
	report, err := k.Flush(stop)
	if err != nil {
		return err
	}
	errs := []error{forgetHealth(k), members.Remove(state.Find(k.Dir())), sources.Open(state.Find(k.Dir())).Remove(),
		applied.Open(k.Dir()).Forget()}
	if f, err := load(ctx); err == nil { // it needs no policy, but knows this file by it
		errs = append(errs, removeDnsmasq(f.doc.Settings.Dnsmasq))
	}
	err = c.printApplied(ctx, &daemon.Applied{Changed: changedLines(report), Changes: changedObjects(report),
		Warnings: report.Warnings}, "nothing to remove")
	c.printLost(lossAdvice(report))
	return errors.Join(append(errs, err)...)
}
