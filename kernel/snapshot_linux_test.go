package kernel

import (
	"os"
	"path/filepath"
	"testing"

	"pbr/kernel/state"
)

// A snapshot that cannot be saved takes no space: the journal may need it.
func TestSnapshotThatDoesNotFit(t *testing.T) {
	k := newKernel(t)
	apply(t, k, testPlan(planA))
	have, err := k.nft.Read(nil)
	must(t, err)
	file := k.path(snapshotFile)
	must(t, os.RemoveAll(file))
	must(t, os.MkdirAll(filepath.Join(file, "full"), 0o700)) // -- nothing can be renamed to it
	k.saveSnapshot(have)
	if _, err := os.Stat(file + state.TempSuffix); !os.IsNotExist(err) {
		t.Errorf("what did not fit is still there: %v", err)
	}
}
