package kernel

import (
	"os"

	"pbr/compiler/plan"
)

// Compare compares the kernel with a plan, cheaply: by the numbers of routes and ip rules, and by
// the nftables generation that the last apply left. If others changed nftables since, it compares
// the chains. It does not read elements of sets.
func (k *Kernel) Compare(want *plan.Plan) (Sync, error) {
	if err := mayAdminister(); err != nil {
		return NotApplied, err
	}
	j, err := k.readableJournal()
	if err != nil {
		return NotApplied, err
	}
	if len(j.Owned) == 0 && k.DamagedJournal() == nil {
		return NotApplied, nil
	}
	rules, routes, err := k.route.Read([]uint32{want.BasePriority}, append(claimsOf(want).Tables, j.tables()...))
	if err != nil {
		return NotApplied, err
	}
	if len(rules) != len(want.Rules) || len(routes) != len(want.Routes) {
		return Differs, nil
	}
	have := &plan.Ruleset{}
	if b, err := os.ReadFile(k.path(snapshotFile)); err == nil {
		if l, known := k.nft.Load(b, &want.Ruleset); known {
			have = &l.Ruleset
		}
	}
	if len(have.Chains) == 0 {
		if have, err = k.nft.Outline(); err != nil {
			return NotApplied, err
		}
	}
	chains := func(r *plan.Ruleset) *plan.Plan { return &plan.Plan{Ruleset: plan.Ruleset{Chains: r.Chains}} }
	if !plan.Diff(chains(have), chains(&want.Ruleset)).Empty() {
		return Differs, nil
	}
	return Holds, nil
}
