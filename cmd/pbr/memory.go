package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync"

	"pbr/cmd/pbr/cli"
)

const (
	// gcPercent trades memory for time: a big policy is read once, and the program ends.
	gcPercent = 400
	// spareMemory is how much a command may allocate before memory is collected at all, and
	// spareShare the part of the machine's memory that it is at most.
	spareMemory = 512 << 20
	spareShare  = 4
	// memoryOfByte is how much a byte of a policy file takes, leastHuge how much is worth huge
	// pages.
	memoryOfByte = 20
	leastHuge    = 8 << 20
)

// spareOnce is for the whole process, as what it does is.
var spareOnce sync.Once

// spareCollector leaves memory alone until much is in use: of what a command allocates to read and
// compile a policy hardly anything is free before it ends, and to look for that takes a tenth of
// its time. It does so only where the process ends with the command, and what runs for long is to
// be left to the collector. file is the policy file.
func (c command) spareCollector(file string) {
	if !c.ends {
		return
	}
	spareOnce.Do(func() {
		limit := int64(spareMemory)
		if total := machineMemory(); total > 0 {
			limit = min(limit, total/spareShare)
		}
		growInHugePages(min(expectedMemory(file), limit/2))
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

// fileOf is the policy file that the command line names; empty if it names none.
func fileOf(ctx *cli.Context) string {
	name, _ := configName(ctx)
	return name
}

// expectedMemory returns about how many bytes a command allocates for a policy file, rather too
// few; 0 if the file's size is not known.
func expectedMemory(file string) int64 {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return memoryOfByte * min(info.Size(), spareMemory)
}

// growInHugePages makes the heap grow in huge pages, where the kernel gives them on request:
// getting memory page by page takes a fifth of the time of a large policy. Go's runtime requests
// none. So this allocates size bytes at once, requests huge pages for them, and frees them: the
// runtime takes its next memory from there. The kernel gives none of it before it is written.
func growInHugePages(size int64) {
	if size < leastHuge {
		return
	}
	room := make([]byte, size)
	adviseHugePages(room)
	runtime.GC()
}

// machineMemory is the memory of the machine in bytes, 0 if it is not known.
func machineMemory() int64 {
	total := totalMemory()
	if total > math.MaxInt64 {
		return 0
	}
	return int64(total)
}
