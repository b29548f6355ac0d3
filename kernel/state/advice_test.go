package state

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

func TestAdvised(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a full disk": {&fs.PathError{Op: "write", Path: "/run/pbr/x.new", Err: syscall.ENOSPC},
			"write /run/pbr/x.new: no space left on device: free some space there (df shows how full it is)"},
		"one that is read-only": {&fs.PathError{Op: "open", Path: "/run/pbr/x.new", Err: syscall.EROFS},
			"open /run/pbr/x.new: read-only file system: make that file system writable (mount -o remount,rw)"},
		"once is enough": {Advised(fmt.Errorf("a: %w", Advised(syscall.EROFS))),
			"a: read-only file system: make that file system writable (mount -o remount,rw)"},
		"another error": {syscall.EIO, "input/output error"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Advised(c.err)
			if err.Error() != c.want || !errors.Is(err, c.err) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	if Advised(nil) != nil {
		t.Error("no error has become one")
	}
}
