package compiler

import "pbr/compiler/policy"

// ChainNever is the chain of what is never classified.
const ChainNever = chainNever

// PolicyCounter names the counter of a policy's first packets.
func PolicyCounter(p *policy.Policy) string { return policyCounter(p) }
