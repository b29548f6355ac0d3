package healthcheck

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pingWaiter wakes a goroutine when there is something to read from the ping sockets that it
// watches. It is an epoll(7) of its own, which Go's poller waits for: to tell Go's poller of the
// sockets themselves would have every answer wake a thread, those among them that are read as soon
// as their request is sent.
type pingWaiter struct {
	fd   int
	file *os.File
}

// openPingWaiter returns a waiter that watches nothing yet. ready may be called for nothing.
func openPingWaiter(ready func()) (*pingWaiter, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true) // only then Go's poller takes it
	}
	if err != nil {
		return nil, fmt.Errorf("%w: waiting for answers: %w", ErrNotProbed, err)
	}
	w := &pingWaiter{fd, os.NewFile(uintptr(fd), "epoll")}
	conn, err := w.file.SyscallConn()
	if err != nil {
		w.close()
		return nil, fmt.Errorf("%w: waiting for answers: %w", ErrNotProbed, err)
	}
	go w.serve(conn, ready)
	return w, nil
}

// serve calls ready until the waiter is closed.
func (w *pingWaiter) serve(conn syscall.RawConn, ready func()) {
	_ = conn.Read(func(uintptr) (done bool) { // ends when it is closed
		ready()
		return false
	})
}

// watch begins or ends to watch a socket.
func (w *pingWaiter) watch(s *pingSocket, on bool) {
	operation := unix.EPOLL_CTL_DEL
	if on {
		operation = unix.EPOLL_CTL_ADD
	}
	_ = unix.EpollCtl(w.fd, operation, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.fd)})
}

// close waits for a call of ready to end.
func (w *pingWaiter) close() { _ = w.file.Close() }
