package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// mayControl rejects clients that are neither root nor this process's own user (SO_PEERCRED,
// unix(7)).
func mayControl(conn net.Conn) error {
	if guarded, ok := conn.(*guardedConn); ok {
		conn = guarded.Conn
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("not a UNIX socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return fmt.Errorf("identifying the client: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET,
			unix.SO_PEERCRED)
	}); err != nil {
		return fmt.Errorf("identifying the client: %w", err)
	}
	if credErr != nil {
		return fmt.Errorf("identifying the client: %w", credErr)
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not control uplinks: run the command as root", cred.Uid)
	}
	return nil
}

// refused reports whether an error means that nobody listens on an existing socket.
func refused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }
