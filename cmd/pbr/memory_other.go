//go:build !linux

package main

// totalMemory is not known.
func totalMemory() uint64 { return 0 }

// adviseHugePages does nothing.
func adviseHugePages([]byte) {}
