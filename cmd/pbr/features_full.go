//go:build !small

package main

import "pbr/compiler/policy"

// lack is what this build leaves out.
var lack policy.Lack
