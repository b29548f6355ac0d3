package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"pbr/kernel/internal/fault"
	"pbr/kernel/internal/netfilter"
)

// Sizes in bytes. With the usual 4 KiB the kernel walks a big set again for every chunk of a dump,
// which makes reading 100,000 elements six times slower.
const (
	receiveSize = 256 << 10
	// queueSize is the socket's receive buffer: a batch that fails in every message answers each.
	queueSize = 8 << 20
)

// nfgenLen is the size of struct nfgenmsg (linux/netfilter/nfnetlink.h), which follows the netlink
// header.
const nfgenLen = 4

// errDumpInterrupted means that objects changed while they were listed.
var errDumpInterrupted = errors.New("dump was interrupted")

// socket sends requests and reads the answers.
type socket struct {
	link *netfilter.Socket
	seq  uint32
	buf  []byte
	// interrupted means that objects changed while they were listed; tolerant leaves it to the
	// caller what happens to that.
	interrupted, tolerant bool
}

func openSocket() (*socket, error) {
	s, err := netfilter.Open()
	if err != nil {
		return nil, err
	}
	s.ShortAnswers()
	s.ReadBuffer(queueSize)
	return &socket{link: s}, nil
}

// message is one received netlink message.
type message struct {
	typ   uint16
	flags uint16
	seq   uint32
	// body follows the netlink header; it is valid until the next receive.
	body []byte
}

// attrs is the attribute part of an nftables message.
func (m *message) attrs() []byte {
	if len(m.body) < nfgenLen {
		return nil
	}
	return m.body[nfgenLen:]
}

// receive reads one datagram and calls f for each of its messages. With wait it waits for one, else
// the error is EAGAIN if there is none.
func (s *socket) receive(wait bool, f func(message) error) error {
	if s.buf == nil { // some sockets of a watch are never read from
		s.buf = make([]byte, receiveSize)
	}
	n, err := s.link.Receive(s.buf, wait)
	if err != nil {
		return err
	}
	if n > len(s.buf) {
		return fmt.Errorf("netlink message of %d bytes is too long", n)
	}
	b := s.buf[:n]
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return errors.New("malformed netlink message")
		}
		m := message{
			typ:   binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			body:  b[unix.SizeofNlMsghdr:size],
		}
		if err := f(m); err != nil {
			return err
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}

// errno is the error of an NLMSG_ERROR or NLMSG_DONE message, nil for an acknowledgement.
func (m *message) errno() error {
	if len(m.body) < 4 {
		return nil
	}
	if code := int32(binary.NativeEndian.Uint32(m.body)); code < 0 {
		return unix.Errno(-code)
	}
	return nil
}

// dump asks for a list of objects and calls f with the attributes of each, which stay valid only
// during the call. filter has the attributes of the request.
func (s *socket) dump(msg uint16, family uint8, filter []byte, f func(attrs []byte) error) error {
	return s.query(msg, unix.NLM_F_DUMP, family, filter, f)
}

// ask sends a request that is answered by one object, and calls f with its attributes.
func (s *socket) ask(msg uint16, family uint8, f func(attrs []byte)) error {
	answered := false
	err := s.query(msg, unix.NLM_F_ACK, family, nil, func(attrs []byte) error {
		answered = true
		f(attrs)
		return nil
	})
	if err == nil && !answered {
		return errNoAnswer
	}
	return err
}

// query sends a request, and calls f with the attributes of each object of the answer up to its
// end, which is the dump's or the acknowledgement.
func (s *socket) query(msg, flags uint16, family uint8, filter []byte, f func(attrs []byte) error) error {
	if err := fault.At("before asking nftables"); err != nil {
		return err
	}
	s.interrupted = s.interrupted && s.tolerant
	s.seq++
	want := s.seq
	if err := s.link.Send(appendMessage(nil, msg, unix.NLM_F_REQUEST|flags, want, family, filter)); err != nil {
		return err
	}
	done := false
	var failed error
	for !done {
		err := s.receive(true, func(m message) error {
			if m.seq != want {
				return nil
			}
			if m.flags&unix.NLM_F_DUMP_INTR != 0 {
				s.interrupted = true
			}
			if s.interrupted && !s.tolerant && failed == nil {
				failed = errDumpInterrupted
			}
			switch m.typ {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				done = true
				if failed == nil {
					failed = m.errno()
				}
			default:
				if failed == nil {
					failed = f(m.attrs())
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return failed
}

// appendMessage appends an nftables request to b.
func appendMessage(b []byte, msg, flags uint16, seq uint32, family uint8, attrs []byte) []byte {
	b = appendHeader(b, unix.NFNL_SUBSYS_NFTABLES<<8|msg, flags, seq, family, 0)
	b = append(b, attrs...)
	binary.NativeEndian.PutUint32(b[len(b)-len(attrs)-nfgenLen-unix.SizeofNlMsghdr:], uint32(len(attrs)+nfgenLen+unix.SizeofNlMsghdr))
	return b
}

// appendHeader appends a netlink and an nfgenmsg header; the length is that of the headers alone.
func appendHeader(b []byte, typ, flags uint16, seq uint32, family uint8, resource uint16) []byte {
	b = binary.NativeEndian.AppendUint32(b, unix.SizeofNlMsghdr+nfgenLen)
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, family, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(b, resource)
}
