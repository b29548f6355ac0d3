//go:build small

package main

import (
	"pbr/cmd/pbr/cli"
	"pbr/compiler/policy"
)

// runGraph is not built in: the policy alone is drawn on any machine.
func (c command) runGraph(*cli.Context) error {
	return notBuiltIn("graph", policy.FeatureGraph,
		"use a full build, on any machine that has the policy file; here pbr status shows the uplinks, and pbr explain a packet's way")
}
