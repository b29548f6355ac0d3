package healthcheck

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// bound returns a hook for new sockets that ties them to an uplink: they send and receive on its
// interface alone (SO_BINDTODEVICE), and their packets carry its mark (SO_MARK), so that they take
// its pinned table whatever the others say, and a priority (SO_PRIORITY), which tells the rules of
// source NAT that they are probes (socket(7)).
func bound(c Config) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error { return bindTo(raw, c) }
}

func bindTo(raw syscall.RawConn, c Config) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		if err = unix.BindToDevice(int(fd), c.Interface); err != nil {
			err = fmt.Errorf("%w: binding a socket to %s: %w", ErrNotProbed, c.Interface, err)
			return
		}
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(c.Mark)); err != nil {
			err = fmt.Errorf("%w: marking a socket on %s with %#x: %w", ErrNotProbed, c.Interface, c.Mark, err)
			return
		}
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, int(c.Priority)); err != nil {
			err = fmt.Errorf("%w: giving a socket on %s priority %d: %w", ErrNotProbed, c.Interface, c.Priority, err)
		}
	}); cerr != nil {
		return fmt.Errorf("%w: binding a socket to %s: %w", ErrNotProbed, c.Interface, cerr)
	}
	return err
}

// boundTo reports whether a socket still belongs to the interface of that name. It does not if the
// interface was deleted, even if there is a new one of the same name: the kernel binds to the
// index.
func boundTo(raw syscall.RawConn, name string) bool {
	var is string
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		is, err = unix.GetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
	}); cerr != nil || err != nil {
		return false
	}
	return is == name
}
