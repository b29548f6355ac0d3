package kernel

import (
	"errors"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// Living returns the members of a living set, sorted by address; ok is false if there is no such
// set.
func (k *Kernel) Living(set *plan.Set) (list []nft.Member, ok bool, err error) {
	list, err = k.nft.Living(set)
	if errors.Is(err, unix.ENOENT) {
		return nil, false, nil
	}
	return list, err == nil, err
}

// EditMembers removes members from a living set and adds others, in one transaction; see
// nft.Conn.EditMembers. It needs no lock: what is applied at the same time takes members as they
// are.
func (k *Kernel) EditMembers(set *plan.Set, remove, add []nft.Member) error {
	return k.nft.EditMembers(set, remove, add)
}

// SeedMembers sets the members that living sets get when they are created: at the first apply,
// after a restart, and after somebody deleted the table. Without it they get those that package
// members stores.
func (k *Kernel) SeedMembers(seeds nft.Seeds) { k.nft.Seeds = seeds }

// noteLiving records which sets others may fill.
func (k *Kernel) noteLiving(p *plan.Plan) {
	living := map[string]bool{}
	for i := range p.Ruleset.Sets {
		if s := &p.Ruleset.Sets[i]; s.Living || s.Type == plan.TypeCgroup {
			living[s.Name] = true
		}
	}
	k.living.Store(&living)
	if !hasCgroups(p) {
		k.cgroups.Set(nil)
	}
}

// isLiving reports whether others may fill a set.
func (k *Kernel) isLiving(set string) bool {
	living := k.living.Load()
	return living != nil && (*living)[set]
}
