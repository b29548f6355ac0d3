//go:build small

package main

import (
	"pbr/compiler/from"
	"pbr/compiler/policy"
)

// importRouterOS is not built in: an export is turned into a policy on any machine.
func importRouterOS([]byte, from.Options) (*from.Result, error) {
	return nil, notBuiltIn("import routeros", policy.FeatureImportRouterOS, "use a full build, on any machine")
}
