//go:build small

package main

import "pbr/compiler/policy"

// lack is what this build leaves out: all that needs an HTTP client or server.
var lack = policy.Lack{Tag: "small", Features: policy.Features}
