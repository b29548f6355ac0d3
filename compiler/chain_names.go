package compiler

import (
	"strings"

	"pbr/compiler/layers"
	"pbr/compiler/policy"
)

// ChainNever is the chain of what is never classified.
const ChainNever = chainNever

// Classifies reports whether a chain is one that first packets pass to find their policy, or a
// policy's own.
func Classifies(chain string) bool {
	return strings.HasPrefix(chain, chainClassify) || strings.HasPrefix(chain, layers.ChainOf(""))
}

// PolicyCounter names the counter of a policy's first packets.
func PolicyCounter(p *policy.Policy) string { return policyCounter(p) }

// PolicyOf returns the name of the policy whose counter it is; ok is false for another counter.
func PolicyOf(counter string) (name string, ok bool) {
	return strings.CutPrefix(counter, policyCounter(&policy.Policy{}))
}
