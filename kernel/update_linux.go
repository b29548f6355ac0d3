package kernel

import (
	"context"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// appliedState is the state after an Apply or Update of this process.
type appliedState struct {
	plan  *plan.Plan
	owned owned
	nft   *nft.Live
	// saved means that the snapshot on disk has the ruleset.
	saved bool
	// held is what to look at to find that nothing has changed since an Apply of the plan of; nil
	// if that is not known.
	held *Held
	of   *plan.Plan
}

// remember records what the kernel holds now.
func (k *Kernel) remember(p *plan.Plan, o owned, ruleset *nft.Live, saved bool) {
	held := *p
	held.Ruleset = ruleset.Ruleset
	k.applied = &appliedState{plan: &held, owned: o, nft: ruleset, saved: saved}
	k.owned.Store(&o)
	k.noteFilled(p)
	settings := map[string]string{}
	for _, s := range p.Sysctls {
		settings[s.Path] = s.Value
	}
	k.settings.Store(&settings)
}

// ruleset returns the known ruleset of nftables; nil if none is known.
func (l *appliedState) ruleset() *nft.Live {
	if l == nil {
		return nil
	}
	return l.nft
}

// forget returns the known state, and no longer relies on it.
func (k *Kernel) forget() *appliedState {
	l := k.applied
	k.applied = nil
	// What is set from now on is not in force yet, and its old values no longer are.
	k.settings.Store(nil)
	return l
}

// Update is Apply for a change of health. It sends the difference between want and what the last
// Apply or Update of k left, and reads the kernel neither before nor after. It is Apply if that
// state is unknown, as after another process changed this namespace, if want needs other tables,
// marks, priorities or settings, or if a step fails. Neither plan may be changed afterwards.
//
// It does not restore what someone else, or the kernel, removed meanwhile: see Events.
func (k *Kernel) Update(ctx context.Context, want *plan.Plan) (*Report, error) {
	if err := applicable(want); err != nil {
		return nil, err
	}
	unlock, err := k.locked("update")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if l := k.applied; l != nil && l.owned.equal(claimsOf(want)) && slices.Equal(l.plan.Sysctls, want.Sysctls) {
		d := differenceOf(&live{plan: l.plan, nft: l.nft}, want)
		a := newApplication(ctx, k, d)
		k.applied = nil
		if err := a.do(d, nil); err == nil {
			k.remember(want, a.owned, a.live, l.saved && a.live == l.nft)
			return a.report, nil
		}
		// What cannot be undone either, Apply finds and reports.
		_ = a.undo()
		k.applied = &appliedState{nft: a.live} // -- as it was last seen, as Apply's starting point
	}
	return k.Apply(ctx, want)
}
