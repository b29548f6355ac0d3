package kernel

import (
	"context"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// appliedState is the state that an Apply or Update of this process left.
type appliedState struct {
	plan  *plan.Plan
	owned owned
	nft   *nft.Live
	// saved tells that the snapshot on disk has the ruleset.
	saved bool
}

// remember keeps what the kernel holds now.
func (k *Kernel) remember(p *plan.Plan, o owned, ruleset *nft.Live, saved bool) {
	held := *p
	held.Ruleset = ruleset.Ruleset
	k.applied = &appliedState{plan: &held, owned: o, nft: ruleset, saved: saved}
	k.owned.Store(&o)
	k.noteLiving(p)
	settings := map[string]string{}
	for _, s := range p.Sysctls {
		settings[s.Path] = s.Value
	}
	k.settings.Store(&settings)
}

// ruleset is what was left of nftables; nil when nothing is known.
func (l *appliedState) ruleset() *nft.Live {
	if l == nil {
		return nil
	}
	return l.nft
}

// forget returns what was left, and no longer takes it for certain.
func (k *Kernel) forget() *appliedState {
	l := k.applied
	k.applied = nil
	// What is set from now on is not yet in force, and its old values are no longer.
	k.settings.Store(nil)
	return l
}

// Update is Apply for a change of health: it sends the difference between want and what the last
// Apply or Update of k left, and reads the kernel neither before nor after. It is Apply when that
// is not known, as after another process changed this namespace, when want needs other tables,
// marks, priorities or settings, or when any of it fails. Neither plan may be changed afterwards.
//
// What someone else, or the kernel, took away meanwhile stays away: see Notices.
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
		a := newApplication(ctx, k, want, plan.Diff(l.plan, want))
		k.applied = nil
		if err := a.do(&live{plan: l.plan, nft: l.nft}, a.report.Changes, nil); err == nil {
			k.remember(want, a.owned, a.live, l.saved && a.live == l.nft)
			return a.report, nil
		}
		// What cannot be undone either is Apply's to find and to tell.
		_ = a.undo()
		k.applied = &appliedState{nft: a.live} // as it was last seen, for Apply to start from
	}
	return k.Apply(ctx, want)
}
