package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// Members returns the members of a run-time set, sorted by address; ok is false if there is no such
// set.
func (k *Kernel) Members(set *plan.Set) (list []nft.Member, ok bool, err error) {
	list, err = k.nft.Members(set)
	if errors.Is(err, unix.ENOENT) {
		return nil, false, nil
	}
	return list, err == nil, err
}

// EditMembers removes members from a run-time set and adds others, in one transaction; see
// nft.Conn.EditMembers. It needs no lock: what is applied at the same time takes members as they
// are.
func (k *Kernel) EditMembers(set *plan.Set, remove, add []nft.Member) error {
	return k.nft.EditMembers(set, remove, add)
}

// SeedMembers sets the members that run-time sets get when they are created: at the first apply,
// after a restart, and after somebody deleted the table. Without it they get those that package
// members stores.
func (k *Kernel) SeedMembers(seeds nft.Seeds) {
	k.nft.Seeds = func(set string) []nft.Member {
		k.noteMade(set)
		return seeds(set)
	}
}

// madeDir has a file for each run-time set, which is touched when the set is created.
const madeDir = "made"

// noteMade records that a run-time set is created. A failure only means that this is not known.
func (k *Kernel) noteMade(set string) {
	_ = os.Mkdir(k.path(madeDir), 0o700)
	_ = os.WriteFile(filepath.Join(k.path(madeDir), set), nil, 0o600)
}

// RunTimeSetMade returns when a run-time set was created; zero if that is not known.
func (k *Kernel) RunTimeSetMade(set string) time.Time {
	info, err := os.Stat(filepath.Join(k.path(madeDir), set))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// noteFilled records which sets others may fill.
func (k *Kernel) noteFilled(p *plan.Plan) {
	filled := map[string]bool{}
	for i := range p.Ruleset.Sets {
		if s := &p.Ruleset.Sets[i]; s.RunTime || s.Type == plan.TypeCgroup {
			filled[s.Name] = true
		}
	}
	k.filled.Store(&filled)
	if !hasCgroups(p) {
		k.cgroups.Set(nil)
	}
}

// filledByOthers reports whether others may fill a set.
func (k *Kernel) filledByOthers(set string) bool {
	filled := k.filled.Load()
	return filled != nil && (*filled)[set]
}
