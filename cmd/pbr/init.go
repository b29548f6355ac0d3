package main

import (
	"errors"
	"fmt"
	"io"

	"pbr/cmd/pbr/cli"
	"pbr/kernel"
	"pbr/kernel/facts"
	"pbr/kernel/propose"
)

func (c command) initCommand() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "write a first policy from what this machine has",
		ArgsUsage: " ",
		Description: "Reads default routes, gateways, addresses, others' NAT rules, containers and\n" +
			"VPNs, and prints a commented policy: an uplink for each default route, in the\n" +
			"order of metrics, with NAT where it is needed and a check beyond the gateway,\n" +
			"and a default that fails over. It changes nothing and writes no file: use\n" +
			"pbr init > pbr.toml. Without root, it does not see others' NAT rules. Exit\n" +
			"status 1 without a default route; it then prints what it found to standard\n" +
			"error.",
		Flags:  []cli.Flag{jsonFlag()},
		Action: c.runInit,
	}
}

func (c command) runInit(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	return withKernel(func(k *kernel.Kernel) error {
		seen, err := k.Survey()
		if err != nil {
			return err
		}
		return c.printProposal(seen, ctx.Bool("json"))
	})
}

func (c command) printProposal(seen *facts.Survey, asJSON bool) error {
	text, err := propose.Policy(seen)
	if err != nil && !errors.Is(err, propose.ErrNoDefault) {
		return err
	}
	switch {
	case asJSON:
		if failed := printJSON(c.stdout, proposalResult{text, seen}); failed != nil {
			return failed
		}
	case err != nil:
		fmt.Fprintln(c.stderr, "What was seen:")
		for _, line := range propose.Seen(seen) {
			fmt.Fprintln(c.stderr, "  "+line)
		}
	default:
		_, err = io.WriteString(c.stdout, text)
		return err
	}
	if err != nil {
		return fmt.Errorf("init: %w: bring a line up (DHCP, or ip route add default via GATEWAY dev "+
			"INTERFACE), then run \"pbr init\" again", err)
	}
	return nil
}

// proposalResult is init's JSON.
type proposalResult struct {
	// Policy is empty without a default route.
	Policy string        `json:"policy"`
	Seen   *facts.Survey `json:"seen"`
}
