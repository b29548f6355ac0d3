package cgroup

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// isTree reports whether cgroup v2 is what one sees at a place.
func isTree(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && uint64(fs.Type) == unix.CGROUP2_SUPER_MAGIC
}

// inode is the number of a directory, by which the kernel's matches know a control group.
func inode(dir string) (uint64, bool) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Ino, true
}
