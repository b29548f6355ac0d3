//go:build !small

package main

import "pbr/compiler/policy"

// lack is what this build omits.
var lack policy.Lack
