package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync"
)

const (
	// gcPercent trades memory for time: a big policy is read once, and the program ends.
	gcPercent = 400
	// spareMemory is how much a command may allocate before memory is collected at all, and
	// spareShare the part of the machine's memory that it is at most.
	spareMemory = 512 << 20
	spareShare  = 4
)

// spareOnce is for the whole process, as what it does is.
var spareOnce sync.Once

// spareCollector leaves memory alone until much is in use: of what a command allocates to read and
// compile a policy hardly anything is free before it ends, and to look for that takes a tenth of
// its time. It does so only where the process ends with the command, and what runs for long is to
// be left to the collector.
func (c command) spareCollector() {
	if !c.ends {
		return
	}
	spareOnce.Do(func() {
		limit := int64(spareMemory)
		if total := machineMemory(); total > 0 {
			limit = min(limit, total/spareShare)
		}
		before := debug.SetMemoryLimit(-1) // as GOMEMLIMIT says
		debug.SetMemoryLimit(min(before, limit))
		debug.SetGCPercent(-1)
		// The first collection frees this, and so says that it came; a smaller one would share its
		// place.
		runtime.AddCleanup(new([64]byte), func(limit int64) {
			debug.SetGCPercent(gcPercent)
			debug.SetMemoryLimit(limit)
		}, before)
	})
}

// machineMemory is the memory of the machine in bytes, 0 if it is not known.
func machineMemory() int64 {
	total := totalMemory()
	if total > math.MaxInt64 {
		return 0
	}
	return int64(total)
}
