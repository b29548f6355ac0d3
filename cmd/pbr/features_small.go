//go:build small

package main

import "pbr/compiler/policy"

// lack is what this build leaves out: what needs an HTTP client or server, and what can be done on
// another machine.
var lack = policy.Lack{Tag: "small", Features: policy.Features}
