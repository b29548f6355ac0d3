// Package netfilter is the socket for netfilter messages that are written and read by hand: whole
// transactions, dumps of a million elements, packets of a queue. It is one of mdlayher/netlink, as
// that of conntrack and of events is; only what is sent and received is not the library's, which
// has each message as a value of its own and reads into one page at first (the kernel then walks a
// set again for each page: six times slower with 100,000 elements).
package netfilter

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Socket is a NETLINK_NETFILTER socket. It is for one goroutine, but for Close.
type Socket struct {
	conn *netlink.Conn
	raw  syscall.RawConn
}

// Open opens a socket of the current thread's network namespace.
func Open() (*Socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("opening a netfilter netlink socket: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening a netfilter netlink socket: %w", err), conn.Close())
	}
	return &Socket{conn, raw}, nil
}

// ShortAnswers has the kernel say in words what is wrong, and leave out the request. Kernels before
// 4.12 do neither.
func (s *Socket) ShortAnswers() {
	_ = s.conn.SetOption(netlink.ExtendedAcknowledge, true)
	_ = s.conn.SetOption(netlink.CapAcknowledge, true)
}

// Close closes the socket. It ends Receive, which then returns os.ErrClosed.
func (s *Socket) Close() error {
	if err := s.conn.Close(); err != nil {
		return fmt.Errorf("closing a netfilter netlink socket: %w", err)
	}
	return nil
}

// Port returns the socket's address, by which the kernel tells who did something.
func (s *Socket) Port() uint32 { return s.conn.PID() }

// ReadBuffer and WriteBuffer make room for that many bytes, up to the system's limit where the
// privilege to exceed it lacks. More stays: what comes next may need it.
func (s *Socket) ReadBuffer(size int) { s.grow(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, size) }

// WriteBuffer is ReadBuffer for what is sent.
func (s *Socket) WriteBuffer(size int) { s.grow(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, size) }

// grow sets a buffer's size. The kernel tells twice the size that was set (socket(7)).
func (s *Socket) grow(force, plain, size int) {
	_ = s.Control(func(fd int) error {
		if have, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, plain); err == nil && have/2 >= size {
			return nil
		}
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
		}
		return nil
	})
}

// Control calls f with the socket's file descriptor, and returns f's error.
func (s *Socket) Control(f func(fd int) error) error {
	var failed error
	if err := s.raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// Send hands b to the kernel, which handles it before the call returns.
func (s *Socket) Send(b []byte) (err error) {
	closed := s.raw.Write(func(fd uintptr) bool {
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		}
		return err != unix.EAGAIN
	})
	if closed != nil {
		return os.ErrClosed
	}
	return err
}

// Receive reads one datagram into b, and returns its length, which may be more than that of b. With
// wait it waits for one, else the error is EAGAIN if there is none.
func (s *Socket) Receive(b []byte, wait bool) (n int, err error) {
	failed := s.raw.Read(func(fd uintptr) bool {
		for err = unix.EINTR; err == unix.EINTR; {
			n, _, err = unix.Recvfrom(int(fd), b, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		}
		return !wait || err != unix.EAGAIN
	})
	switch {
	case errors.Is(failed, os.ErrDeadlineExceeded):
		return 0, unix.EAGAIN
	case failed != nil:
		return 0, os.ErrClosed
	}
	return n, err
}

// Patience sets how long Receive waits from now on; the error is then EAGAIN.
func (s *Socket) Patience(wait time.Duration) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return fmt.Errorf("setting the patience of a netfilter netlink socket: %w", err)
	}
	return nil
}
