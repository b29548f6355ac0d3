package tap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"pbr/kernel/internal/netfilter"
)

const (
	// bufferSize is the socket's receive buffer: room for a full queue of the longest answers.
	bufferSize = 4 << 20
	// messageSize is what one message takes at most: a packet of 64 KiB and what is reported it.
	messageSize = 128 << 10
	// nfgenLen is the size of struct nfgenmsg (linux/netfilter/nfnetlink.h).
	nfgenLen = 4
)

// Listener receives packets from a queue or a log group. It is for one goroutine, except for Close.
type Listener struct {
	socket *netfilter.Socket
	number uint16
	kind   *kind
	buf    []byte
	// last is the packet that was received last.
	last uint32
	// Lost is how often the kernel had more copies than room.
	Lost int
}

// kind is what differs between queues and log groups.
type kind struct {
	name      string
	subsystem uint16
	packet    uint16
	// header and payload are the attributes of a packet.
	header, payload uint16
	holds           bool
}

// Numbers of linux/netfilter/nfnetlink_queue.h and nfnetlink_log.h.
var (
	queueKind = kind{name: "queue", subsystem: unix.NFNL_SUBSYS_QUEUE, packet: 0, header: 1, payload: 10, holds: true}
	logKind   = kind{name: "log group", subsystem: unix.NFNL_SUBSYS_ULOG, packet: 0, header: 1, payload: 9}
)

const (
	msgVerdictBatch = 3
	msgQueueConfig  = 2
	msgLogConfig    = 1

	commandBind = 1
	copyPacket  = 2
	wholePacket = 0xffff

	queueCommand = 1
	queueParams  = 2
	queueMaxLen  = 3
	queueMask    = 4
	queueFlags   = 5
	failOpen     = 1
	verdictHdr   = 2

	logCommand   = 1
	logMode      = 2
	logBuffer    = 3
	logThreshold = 5
)

// OpenQueue binds a queue of the current thread's network namespace: whole packets, at most
// QueueLength of them, and what comes beyond that passes. The error wraps ErrTaken if somebody else
// has it.
func OpenQueue(number uint16) (*Listener, error) {
	l, err := open(&queueKind, number)
	if err != nil {
		return nil, err
	}
	command := []byte{commandBind, 0, 0, 0}
	params := append(binary.BigEndian.AppendUint32(nil, wholePacket), copyPacket)
	for _, attrs := range [][]byte{
		attribute(nil, queueCommand, command),
		attribute(attribute(nil, queueParams, params), queueMaxLen, binary.BigEndian.AppendUint32(nil, QueueLength)),
		attribute(attribute(nil, queueMask, binary.BigEndian.AppendUint32(nil, failOpen)), queueFlags,
			binary.BigEndian.AppendUint32(nil, failOpen)),
	} {
		if err := l.configure(msgQueueConfig, attrs); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

// OpenLog binds a log group of the current thread's network namespace: whole packets, each at once.
// Errors are as OpenQueue's.
func OpenLog(number uint16) (*Listener, error) {
	l, err := open(&logKind, number)
	if err != nil {
		return nil, err
	}
	mode := append(binary.BigEndian.AppendUint32(nil, wholePacket), copyPacket, 0)
	for _, attrs := range [][]byte{
		attribute(nil, logCommand, []byte{commandBind}),
		attribute(attribute(attribute(nil, logMode, mode), logBuffer, binary.BigEndian.AppendUint32(nil, messageSize)),
			logThreshold, binary.BigEndian.AppendUint32(nil, 1)),
	} {
		if err := l.configure(msgLogConfig, attrs); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

func open(k *kind, number uint16) (*Listener, error) {
	s, err := netfilter.Open()
	if err != nil {
		return nil, err
	}
	s.ReadBuffer(bufferSize)
	return &Listener{socket: s, number: number, kind: k, buf: make([]byte, messageSize)}, nil
}

// Close gives the queue back; the kernel drops what waits in it. It ends Receive.
func (l *Listener) Close() error { return l.socket.Close() }

// Holds reports whether packets wait for Accept.
func (l *Listener) Holds() bool { return l.kind.holds }

// Receive waits for packets, for some time at most, and calls f for each that there is then, except
// for no more than most. None is not an error.
func (l *Listener) Receive(wait time.Duration, most int, f func(Packet)) error {
	if err := l.socket.Patience(max(wait, time.Millisecond)); err != nil {
		return err
	}
	first := true
	for n := 0; n < most; first = false {
		size, err := l.socket.Receive(l.buf, first)
		switch err {
		case nil:
			n += l.messages(l.buf[:min(size, len(l.buf))], f)
		case unix.EAGAIN:
			return nil
		case unix.ENOBUFS:
			l.Lost++
		default:
			return fmt.Errorf("reading from %s %d: %w", l.kind.name, l.number, err)
		}
	}
	return nil
}

// messages calls f for each packet of a datagram, and returns how many there are.
func (l *Listener) messages(b []byte, f func(Packet)) (n int) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return n
		}
		typ := binary.NativeEndian.Uint16(b[4:])
		if typ == l.kind.subsystem<<8|l.kind.packet && size >= unix.SizeofNlMsghdr+nfgenLen {
			if p, ok := l.packet(b[unix.SizeofNlMsghdr+nfgenLen : size]); ok {
				f(p)
				n++
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return n
}

// packet reads what is reported a packet.
func (l *Listener) packet(b []byte) (p Packet, ok bool) {
	const attrHeader = 4
	for len(b) >= attrHeader {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attrHeader || size > len(b) {
			return p, ok
		}
		v := b[attrHeader:size]
		switch typ := binary.NativeEndian.Uint16(b[2:]) & 0x3fff; {
		case typ == l.kind.header && l.kind.holds && len(v) >= 7: // struct nfqnl_msg_packet_hdr
			p.ID, p.Hook, ok = binary.BigEndian.Uint32(v), v[6], true
			l.last = p.ID
		case typ == l.kind.header && !l.kind.holds && len(v) >= 3: // struct nfulnl_msg_packet_hdr
			p.Hook, ok = v[2], true
		case typ == l.kind.payload:
			p.Data = v
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return p, ok
}

// Accept lets all packets go that were received.
func (l *Listener) Accept() error {
	if !l.kind.holds {
		return nil
	}
	const accept = 1 // NF_ACCEPT
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, accept), l.last)
	msg := l.message(msgVerdictBatch, 0, attribute(nil, verdictHdr, header))
	if err := l.socket.Send(msg); err != nil {
		return fmt.Errorf("letting packets of queue %d go: %w", l.number, err)
	}
	return nil
}

// configure sends a configuration message and waits for what the kernel says to it. Packets that
// come meanwhile are let go with the next Accept.
func (l *Listener) configure(typ uint16, attrs []byte) error {
	if err := l.socket.Send(l.message(typ, unix.NLM_F_ACK, attrs)); err != nil {
		return fmt.Errorf("binding %s %d: %w", l.kind.name, l.number, err)
	}
	for {
		n, err := l.socket.Receive(l.buf, true)
		if err != nil {
			return fmt.Errorf("binding %s %d: %w", l.kind.name, l.number, err)
		}
		n = min(n, len(l.buf))
		if b := l.buf[:n]; n >= unix.SizeofNlMsghdr+4 && binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR {
			return l.answer(unix.Errno(-int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:]))))
		}
		l.messages(l.buf[:n], func(Packet) {})
	}
}

func (l *Listener) answer(errno unix.Errno) error {
	switch errno {
	case 0:
		return nil
	case unix.EBUSY, unix.EPERM: // whoever may open the socket's messages at all has the privilege
		return fmt.Errorf("%s %d: %w", l.kind.name, l.number, ErrTaken)
	}
	return fmt.Errorf("binding %s %d: %w", l.kind.name, l.number, errno)
}

func (l *Listener) message(typ, flags uint16, attrs []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+nfgenLen+len(attrs)))
	b = binary.NativeEndian.AppendUint16(b, l.kind.subsystem<<8|typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = append(b, make([]byte, 8)...) // the sequence number and the port, which the kernel fills in
	b = append(b, unix.AF_UNSPEC, unix.NFNETLINK_V0)
	b = binary.BigEndian.AppendUint16(b, l.number)
	return append(b, attrs...)
}

func attribute(b []byte, typ uint16, v []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(v)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
