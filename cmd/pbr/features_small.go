//go:build small

package main

import (
	"fmt"

	"pbr/compiler/policy"
)

// lack is what this build leaves out: what needs an HTTP client or server, and what can be done on
// another machine.
var lack = policy.Lack{Tag: "small", Features: policy.Features}

// notBuiltIn is the error of a command that this build leaves out. It has the code of a policy that
// asks for such a part.
func notBuiltIn(command string, f policy.Feature, instead string) error {
	return fmt.Errorf("%s: this pbr was built with -tags %s, which leaves out %s: %s [not-built-in]", command, lack.Tag, f, instead)
}
