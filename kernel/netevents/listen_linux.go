// Package netevents listens to what the kernel tells all of by netlink.
package netevents

import (
	"encoding/binary"
	"errors"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// ErrOverrun means that the kernel told of more than the socket could hold: what changed is not
// known.
var ErrOverrun = errors.New("events were lost")

// queueSize is the socket's receive buffer in bytes: room for some ten thousand events.
const queueSize = 8 << 20

// portOffset is that of nlmsg_pid in struct nlmsghdr (linux/netlink.h).
const portOffset = 12

// Listener is a netlink socket that hears multicast groups.
type Listener struct{ conn *netlink.Conn }

// Listen opens a socket of a netlink family, in the calling thread's network namespace, that hears
// some groups from now on, but nothing about what the sockets with the ports in own did.
func Listen(family int, own []uint32, groups ...uint32) (*Listener, error) {
	conn, err := netlink.Dial(family, nil)
	if err != nil {
		return nil, err
	}
	err = conn.SetReadBuffer(queueSize)
	if err == nil {
		err = ignore(conn, own)
	}
	for _, g := range groups {
		if err == nil {
			err = conn.JoinGroup(g)
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &Listener{conn}, nil
}

// ignore keeps events with one of the ports from the socket. The kernel does it, so that a big
// change of our own neither wakes us nor fills the queue.
func ignore(conn *netlink.Conn, ports []uint32) error {
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: portOffset, Size: 4}}
	for _, port := range ports {
		// The load takes the bytes for a number in network order, which the header is not in.
		value := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, port))
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: 1}, bpf.RetConstant{Val: 0})
	}
	program = append(program, bpf.RetConstant{Val: 1<<32 - 1})
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	return conn.SetBPF(raw)
}

// Receive waits for messages. After ErrOverrun it can be called again; after Close, and by it, the
// error is os.ErrClosed.
func (l *Listener) Receive() ([]netlink.Message, error) {
	msgs, err := l.conn.Receive()
	switch {
	case errors.Is(err, unix.ENOBUFS):
		if err := l.drain(); err != nil {
			return nil, err
		}
		return nil, ErrOverrun
	case errors.Is(err, os.ErrClosed) || errors.Is(err, unix.EBADF):
		return nil, os.ErrClosed
	}
	return msgs, err
}

// drain throws away what is queued. Until the queue is empty the kernel goes on to lose events, and
// does not say so again (NETLINK_S_CONGESTED, net/netlink/af_netlink.c): whoever looked at the
// kernel's state before that would miss them for good.
func (l *Listener) drain() error {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	one := make([]byte, 1)
	err = raw.Read(func(fd uintptr) bool {
		for {
			switch _, _, err := unix.Recvfrom(int(fd), one, unix.MSG_DONTWAIT); err {
			case nil, unix.EINTR, unix.ENOBUFS:
			case unix.EAGAIN:
				return true
			default:
				failed = err
				return true
			}
		}
	})
	if errors.Is(err, os.ErrClosed) {
		return os.ErrClosed
	}
	return errors.Join(err, failed)
}

// Close gives the socket back. It may be called while another goroutine receives.
func (l *Listener) Close() error { return l.conn.Close() }
