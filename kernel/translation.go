package kernel

import (
	"slices"

	"pbr/compiler/plan"
)

// withoutTranslation returns a ruleset without its NAT chains.
func withoutTranslation(r *plan.Ruleset) *plan.Ruleset {
	out := *r
	out.Chains = slices.DeleteFunc(slices.Clone(r.Chains), func(c plan.Chain) bool { return c.Kind == "nat" })
	return &out
}
