package kernel

import (
	"cmp"
	"os"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
)

// snapshotFile has the table as the last apply left it, so that the next one need not read it from
// the kernel when nobody changed nftables since. It is only ever a shortcut: a damaged or missing
// one costs time.
const snapshotFile = "ruleset.snapshot"

// readRuleset reads the table, or takes over what is known of it if nothing of nftables changed
// since: before, or the snapshot. last is what these have, and known tells that it is still right.
func (k *Kernel) readRuleset(want *plan.Ruleset, before *nft.Live) (l *nft.Live, last *plan.Ruleset, known bool, err error) {
	if before != nil {
		last = &before.Ruleset
		known = !before.Traced && k.nft.Unchanged(before)
		l = before
	} else if b, err := os.ReadFile(k.path(snapshotFile)); err == nil {
		if l, known = k.nft.Load(b, want); l != nil {
			last = &l.Ruleset
		}
	}
	if known {
		l, err = k.nft.Refresh(l)
		return l, last, true, err
	}
	l, err = k.nft.Read(cmp.Or(last, want))
	return l, last, false, err
}

// saveSnapshot keeps l for the next run.
func (k *Kernel) saveSnapshot(l *nft.Live) {
	file := k.path(snapshotFile)
	b := l.Snapshot()
	if k.nft.Staging() {
		b = nil // the table is to have more than what was read
	}
	if b != nil && os.WriteFile(file+".new", b, 0o600) == nil && os.Rename(file+".new", file) == nil {
		return
	}
	_ = os.Remove(file)
}
