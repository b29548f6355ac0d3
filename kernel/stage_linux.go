package kernel

import (
	"context"
	"errors"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// Stage prepares the slow part of an Apply of want: long lists are sent in small parts, into sets
// that no rule uses yet. between is called after each part, and may call Update. Apply uses what
// was prepared; Unstage removes what no Apply used. Stage does nothing if the kernel's state is
// unknown.
func (k *Kernel) Stage(ctx context.Context, want *plan.Plan, between func()) error {
	unlock, err := k.locked("apply")
	if err != nil {
		return err
	}
	defer unlock()
	if k.applied == nil || applicable(want) != nil {
		return nil
	}
	for _, s := range k.nft.ToStage(k.applied.nft, &want.Ruleset) {
		for !s.Done() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := k.stage(s); err != nil {
				return err
			}
			between()
		}
	}
	return nil
}

// stage sends one part, and updates what is known of the kernel. If others changed nftables
// meanwhile, the next Update finds it.
func (k *Kernel) stage(s *nft.Staged) error {
	if k.applied != nil {
		next, err := k.nft.Stage(s, k.applied.nft.Generation)
		if err == nil {
			now := *k.applied.nft
			now.Generation = next
			k.applied.nft, k.applied.saved = &now, false
		}
		if !errors.Is(err, nft.ErrChanged) {
			return err
		}
	}
	generation, err := k.nft.Generation()
	if err == nil {
		_, err = k.nft.Stage(s, generation)
	}
	return err
}

// Unstage removes what was prepared and not used.
func (k *Kernel) Unstage() error {
	if !k.nft.Staging() {
		return nil
	}
	k.applied = nil // -- its generation is unknown
	return k.nft.Unstage()
}
