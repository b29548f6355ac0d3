package kernel

import (
	"errors"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// Living returns the members of a living set, sorted by address; ok is false if there is no such set.
func (k *Kernel) Living(set *plan.Set) (list []nft.Member, ok bool, err error) {
	list, err = k.nft.Living(set)
	if errors.Is(err, unix.ENOENT) {
		return nil, false, nil
	}
	return list, err == nil, err
}

// EditMembers removes members from a living set and adds others, in one transaction; see nft.Conn.EditMembers. It needs no lock: what
// is applied at the same time takes members as they are.
func (k *Kernel) EditMembers(set *plan.Set, remove, add []nft.Member) error {
	return k.nft.EditMembers(set, remove, add)
}

// SeedMembers says which members living sets get that are made where there were none: at the first apply, after a restart, and when
// somebody deleted the table.
func (k *Kernel) SeedMembers(seeds nft.Seeds) { k.nft.Seeds = seeds }
