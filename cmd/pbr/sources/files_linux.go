package sources

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Events of a directory: a file in it is being written, was closed after that, or took the place of
// another one.
const (
	writing  = unix.IN_MODIFY
	complete = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO
	gone     = unix.IN_IGNORED | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_UNMOUNT
)

// fileEvent is what happened to a file; lost means that a directory is gone, or that events were
// lost.
type fileEvent struct {
	path     string
	complete bool
	lost     bool
}

// directories tells of what is written into directories (inotify(7)): editors and package managers
// put another file in a file's place, which a watch of the file would not see.
type directories struct {
	f     *os.File
	mu    sync.Mutex
	paths map[int32]string
}

// watchDirectories begins to watch none.
func watchDirectories() (*directories, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watching list files: %w", err)
	}
	return &directories{f: os.NewFile(uintptr(fd), "inotify"), paths: map[int32]string{}}, nil
}

// add watches a directory, too.
func (d *directories) add(dir string) error {
	var wd int
	var err error
	raw, rawErr := d.f.SyscallConn()
	if rawErr != nil {
		return rawErr
	}
	ctlErr := raw.Control(func(fd uintptr) {
		wd, err = unix.InotifyAddWatch(int(fd), dir, writing|complete|unix.IN_CREATE|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_ONLYDIR)
	})
	if err = errors.Join(err, ctlErr); err != nil {
		return fmt.Errorf("watching the list files in %s: %w", dir, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paths[int32(wd)] = dir
	return nil
}

// close ends next.
func (d *directories) close() error { return d.f.Close() }

// next waits for events.
func (d *directories) next(b []byte) ([]fileEvent, error) {
	n, err := d.f.Read(b)
	if err != nil {
		return nil, err
	}
	var out []fileEvent
	for at := 0; at+unix.SizeofInotifyEvent <= n; {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&b[at]))
		name := strings.TrimRight(string(b[at+unix.SizeofInotifyEvent:at+unix.SizeofInotifyEvent+int(e.Len)]), "\x00")
		at += unix.SizeofInotifyEvent + int(e.Len)
		switch dir := d.path(e.Wd); {
		case e.Mask&(gone|unix.IN_Q_OVERFLOW) != 0:
			out = append(out, fileEvent{path: dir, lost: true})
		case e.Mask&unix.IN_CREATE != 0 && !isLink(filepath.Join(dir, name)):
			// It is written, or nothing is in it.
		case name != "":
			out = append(out, fileEvent{path: filepath.Join(dir, name), complete: e.Mask&writing == 0})
		}
	}
	return out, nil
}

func (d *directories) path(wd int32) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.paths[wd]
}

// isLink reports whether a path is that of a symbolic link, which nobody writes.
func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&os.ModeSymlink != 0
}
