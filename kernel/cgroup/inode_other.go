//go:build !linux

package cgroup

func isTree(string) bool { return false }

// inode works on Linux only.
func inode(string) (uint64, bool) { return 0, false }
