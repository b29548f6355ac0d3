package main

import (
	"pbr/cmd/pbr/cli"
	"pbr/compiler/policy"
)

// graphFormatNames are in the order in which they are told.
var graphFormatNames = []string{"svg", "dot", "text"}

func (c command) graphCommand() *cli.Command {
	return &cli.Command{
		Name:      "graph",
		Usage:     "draw policies, tables and uplinks" + omitted(policy.FeatureGraph),
		ArgsUsage: " ",
		Description: "Policies and rules lead to balances and tables, and these to uplinks. The\n" +
			"paths of new connections are bold; what cannot be used is grey, with the\n" +
			"reason. As root it shows the present hits, states and routes from the kernel\n" +
			"and pbr watch. Without root, with --offline, and while the policy is not\n" +
			"applied it draws the policy alone: every uplink counts as usable.\n\n" +
			"To keep it: pbr graph --format svg > ways.svg\n\n" +
			"By Graphviz: pbr graph --format dot | dot -Tpdf > ways.pdf",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`FORMAT` of the output: svg, dot (Graphviz) or text"},
			&cli.BoolFlag{Name: "offline", Usage: "draw the policy alone"},
			jsonFlag(),
		},
		Action: c.runGraph,
	}
}
