package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// totalMemory is sysinfo(2)'s, 0 if it fails.
func totalMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

// adviseHugePages is madvise(2)'s MADV_HUGEPAGE. Kernels without huge pages refuse it.
func adviseHugePages(memory []byte) {
	page := os.Getpagesize()
	start := -int(uintptr(unsafe.Pointer(unsafe.SliceData(memory)))) & (page - 1)
	_ = unix.Madvise(memory[start:], unix.MADV_HUGEPAGE)
}
