package kernel

import (
	"cmp"
	"os"
	"time"

	"pbr/compiler/plan"
	"pbr/kernel/nft"
	"pbr/kernel/state"
)

// snapshotFile stores the table as the last apply left it. If nobody changed nftables since, the
// next apply need not read it from the kernel. It only saves time: it may be damaged or missing.
const snapshotFile = "ruleset.snapshot"

// readRuleset reads the table, or reuses before or the snapshot if nothing in nftables changed
// since. last is their ruleset; known means that it is still valid.
func (k *Kernel) readRuleset(want *plan.Ruleset, before *nft.Live) (l *nft.Live, last *plan.Ruleset, known bool, err error) {
	full := k.full()
	if full {
		k.compareAll, k.compared = false, time.Now()
	}
	if before != nil {
		last = &before.Ruleset
		known = !full && !before.Traced && k.nft.Unchanged(before)
		l = before
	} else if b, err := os.ReadFile(k.path(snapshotFile)); err == nil {
		if l, known = k.nft.Load(b, want); l != nil {
			last = &l.Ruleset
		}
		known = known && !full
	}
	if known {
		l, err = k.nft.Refresh(l)
		return l, last, true, err
	}
	l, err = k.nft.Read(cmp.Or(last, want))
	return l, last, false, err
}

// saveSnapshot saves l for the next run.
func (k *Kernel) saveSnapshot(l *nft.Live) {
	file := k.path(snapshotFile)
	b := l.Snapshot()
	if k.nft.Staging() {
		b = nil // -- the table will have more than was read
	}
	if b != nil && os.WriteFile(file+state.TempSuffix, b, 0o600) == nil && os.Rename(file+state.TempSuffix, file) == nil {
		return
	}
	// What did not fit must not take the space that the journal needs.
	_ = os.Remove(file + state.TempSuffix)
	_ = os.Remove(file)
}
