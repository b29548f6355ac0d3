package kernel

import (
	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// difference is a state as it was read, and what turns it into a plan. It is found out once for
// each reading: what is reported, the steps and the nftables transaction all take it from here.
type difference struct {
	have    *live
	want    *plan.Plan
	changes *plan.Changes
}

// differenceOf compares a state with a plan.
func differenceOf(have *live, want *plan.Plan) *difference {
	return &difference{have, want, plan.Diff(have.plan, want)}
}

// rulesetChanges turn the ruleset from into to. They are the difference's if that is of these two.
// It is not if another transaction came in between, or if to is no plan's, as the one before it in
// a rollback; then they are compared.
func (d *difference) rulesetChanges(from *nft.Live, to *plan.Ruleset) *plan.Changes {
	if d != nil && from == d.have.nft && to == &d.want.Ruleset {
		return d.changes
	}
	return plan.Diff(&plan.Plan{Ruleset: from.Ruleset}, &plan.Plan{Ruleset: *to})
}
