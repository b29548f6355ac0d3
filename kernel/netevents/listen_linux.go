// Package netevents receives netlink multicast events.
package netevents

import (
	"encoding/binary"
	"errors"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// ErrOverrun means that the kernel sent more events than the socket could hold: it is not known
// what changed.
var ErrOverrun = errors.New("events were lost")

// queueSize is the socket's receive buffer in bytes: enough for some ten thousand events.
const queueSize = 8 << 20

// portOffset is the offset of nlmsg_pid in struct nlmsghdr (linux/netlink.h), kindOffset that of
// rtm_type in the struct rtmsg behind it (linux/rtnetlink.h).
const (
	portOffset = 12
	kindOffset = 16 + 7
)

// Listener is a netlink socket that has joined multicast groups.
type Listener struct{ conn *netlink.Conn }

// Listen opens a socket of a netlink family in the calling thread's network namespace. From now on
// it receives the events of some groups, except those caused by the sockets whose ports are in own.
func Listen(family int, own []uint32, groups ...uint32) (*Listener, error) {
	return listen(family, ignoring(own), groups)
}

// ListenRoutes opens a socket that receives the events of routes of some kinds (RTN_*), whoever
// added or deleted them. The groups have to be of NETLINK_ROUTE and about routes. The kernel skips
// all others, as those of a router with the full table of the Internet.
func ListenRoutes(kinds []uint8, groups ...uint32) (*Listener, error) {
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: kindOffset, Size: 1}}
	for _, kind := range kinds {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(kind), SkipTrue: 1}, bpf.RetConstant{Val: 1<<32 - 1})
	}
	return listen(unix.NETLINK_ROUTE, append(program, bpf.RetConstant{Val: 0}), groups)
}

// listen opens a socket that receives the events that a program lets through.
func listen(family int, program []bpf.Instruction, groups []uint32) (*Listener, error) {
	conn, err := netlink.Dial(family, nil)
	if err != nil {
		return nil, err
	}
	err = conn.SetReadBuffer(queueSize)
	if err == nil {
		err = filter(conn, program)
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

// ignoring makes a socket skip events that carry one of the ports. The kernel does this, so that a
// big change of our own neither wakes us nor fills the queue.
func ignoring(ports []uint32) []bpf.Instruction {
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: portOffset, Size: 4}}
	for _, port := range ports {
		// The load reads the bytes as a number in network order, but the header is in host order.
		value := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, port))
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: 1}, bpf.RetConstant{Val: 0})
	}
	return append(program, bpf.RetConstant{Val: 1<<32 - 1})
}

func filter(conn *netlink.Conn, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	return conn.SetBPF(raw)
}

// Receive waits for messages. It can be called again after ErrOverrun. After Close, and when Close
// interrupts it, the error is os.ErrClosed.
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

// drain discards what is queued. Until the queue is empty the kernel continues losing events, and
// does not report that again (NETLINK_S_CONGESTED, net/netlink/af_netlink.c). Whoever read the
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

// Close closes the socket. It may be called while another goroutine receives.
func (l *Listener) Close() error { return l.conn.Close() }
