package cgroup

import (
	"encoding/binary"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// isTree reports whether a directory is in a cgroup v2 tree.
func isTree(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && uint64(fs.Type) == unix.CGROUP2_SUPER_MAGIC
}

// kernfsHandle is the type of a handle that is the number alone (FILEID_KERNFS, linux/exportfs.h).
const kernfsHandle = 0xfe

// inode returns a directory's number, by which the kernel's matches identify a control group. It
// has 64 bits even where inodes have 32.
func inode(dir string) (uint64, bool) {
	if h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, dir, 0); err == nil && h.Type() == kernfsHandle && h.Size() == 8 {
		return binary.NativeEndian.Uint64(h.Bytes()), true
	}
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
