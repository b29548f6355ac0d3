//go:build small

package main

import (
	"errors"

	"pbr/compiler/from"
)

// importRouterOS is not built in: an export is turned into a policy on any machine.
func importRouterOS([]byte, from.Options) (*from.Result, error) {
	return nil, errors.New("import routeros: this pbr was built with -tags small, which leaves it out: use a full build, on any machine")
}
