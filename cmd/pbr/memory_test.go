package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"pbr/integration/lab"
)

// TestSpareCollector: memory is left alone only in a process that ends with its command, and up to
// the first collection.
func TestSpareCollector(t *testing.T) {
	spareOnce = sync.Once{}
	was := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(was) })
	percent := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	command{}.spareCollector("")
	if p := percent(); p != 100 {
		t.Errorf("in a process that goes on: %d %%", p)
	}
	before := debug.SetMemoryLimit(-1)
	command{ends: true}.spareCollector("")
	if p, limit := percent(), debug.SetMemoryLimit(-1); p != -1 || limit > spareMemory || limit < 1<<20 {
		t.Errorf("%d %%, up to %d bytes", p, limit)
	}
	runtime.GC()
	lab.WaitFor(t, "memory to be collected as ever", func() bool { return percent() == gcPercent && debug.SetMemoryLimit(-1) == before })
	if before != math.MaxInt64 {
		t.Logf("GOMEMLIMIT is set: %d", before)
	}
}
