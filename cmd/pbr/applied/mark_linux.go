package applied

import "golang.org/x/sys/unix"

// FileMark tells a file from another of its name, and from itself before it was written again. One
// that is not there has none: the zero value but for the name.
type FileMark struct {
	Name   string
	Device uint64
	Inode  uint64
	Size   int64
	// Written and Changed are mtime and ctime in nanoseconds. Nobody can choose the latter.
	Written, Changed int64
}

// MarkOf returns the mark of a file.
func MarkOf(name string) FileMark {
	var s unix.Stat_t
	if err := unix.Stat(name, &s); err != nil {
		return FileMark{Name: name}
	}
	return FileMark{name, uint64(s.Dev), uint64(s.Ino), s.Size, s.Mtim.Nano(), s.Ctim.Nano()}
}
