//go:build !small

package main

import (
	"errors"
	"fmt"

	"pbr/compiler/from"
	"pbr/compiler/from/routeros"
)

// importRouterOS reads an export of RouterOS.
func importRouterOS(text []byte, options from.Options) (*from.Result, error) {
	result, err := routeros.Import(text, options)
	var bad *routeros.Error
	if errors.As(err, &bad) {
		place := options.File
		if bad.Line > 0 {
			place = fmt.Sprintf("%s:%d", options.File, bad.Line)
		}
		return nil, fmt.Errorf("%s: %w", from.Printable(place), bad)
	}
	return result, err
}
