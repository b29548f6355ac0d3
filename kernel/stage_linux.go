package kernel

import (
	"context"
	"errors"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// Stage prepares what takes long in an Apply of want: long lists are sent bit by bit, into sets
// that nothing leads packets to, and between is called after each bit. It may call Update. Apply
// takes over what was prepared; Unstage removes what none has. It does nothing where it is not
// known what the kernel holds.
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

// stage sends one part, and keeps what is known of the kernel up to date. Where others changed
// nftables meanwhile that is for the next Update to find.
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

// Unstage removes what was prepared and not taken over.
func (k *Kernel) Unstage() error {
	if !k.nft.Staging() {
		return nil
	}
	k.applied = nil // its generation is
	return k.nft.Unstage()
}
