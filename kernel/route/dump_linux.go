package route

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"pbr/kernel/internal/fault"
)

// dumpSize is room for the largest part of a dump: the kernel makes none of more than 32 KiB
// (netlink_dump, net/netlink/af_netlink.c).
const dumpSize = 64 << 10

// dump returns the bodies of all messages that answer a dump request.
func (c *Conn) dump(typ int, answer uint16, body []byte) ([][]byte, error) {
	if err := fault.At("before listing routes or rules"); err != nil {
		return nil, err
	}
	return untilWhole(func() ([][]byte, error) { return c.ask(typ, unix.NLM_F_DUMP, answer, body) })
}

// ask sends a request, and returns the bodies of the messages of a type that answer it. The error
// is the kernel's, with its text, or ErrInterrupted if a change interrupted a dump.
func (c *Conn) ask(typ, flags int, answer uint16, body []byte) ([][]byte, error) {
	c.seq++
	request := appendMessage(nil, uint16(typ), unix.NLM_F_REQUEST|uint16(flags), c.seq, body)
	if err := unix.Sendto(c.socket, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	if c.buffer == nil {
		c.buffer = make([]byte, dumpSize)
	}
	d := dumped{seq: c.seq, answer: answer}
	for !d.ended {
		n, err := c.receive()
		if err != nil {
			return nil, err
		}
		if err := d.take(append([]byte(nil), c.buffer[:n]...)); err != nil {
			return nil, err
		}
	}
	if d.interrupted {
		return nil, ErrInterrupted
	}
	return d.bodies, nil
}

// receive waits for a datagram of the kernel, and returns its length in the buffer.
func (c *Conn) receive() (int, error) {
	for {
		n, from, err := unix.Recvfrom(c.socket, c.buffer, 0)
		switch sender, _ := from.(*unix.SockaddrNetlink); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case sender != nil && sender.Pid == 0:
			return n, nil
		}
	}
}

// appendMessage appends struct nlmsghdr (length, type, flags, sequence number, port; netlink(7))
// and a body, padded to four bytes.
func appendMessage(b []byte, typ, flags uint16, seq uint32, body []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = append(append(b, 0, 0, 0, 0), body...)
	return append(b, make([]byte, align4(len(body))-len(body))...)
}

// dumped collects the answers to a request.
type dumped struct {
	seq    uint32
	answer uint16

	bodies             [][]byte
	interrupted, ended bool
}

// take takes in a datagram; the bodies point into it. Answers to other requests, which were not
// waited for, are skipped.
func (d *dumped) take(b []byte) error {
	for len(b) >= unix.SizeofNlMsghdr && !d.ended {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return fmt.Errorf("netlink message of %d bytes in %d", size, len(b))
		}
		typ, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
		seq, body := binary.NativeEndian.Uint32(b[8:]), b[unix.SizeofNlMsghdr:size:size]
		b = b[min(align4(size), len(b)):]
		if seq != d.seq {
			continue
		}
		d.interrupted = d.interrupted || flags&unix.NLM_F_DUMP_INTR != 0
		switch typ {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			d.ended = true
			return dumpError(typ, flags, body)
		case d.answer:
			d.bodies = append(d.bodies, body)
		}
		d.ended = flags&unix.NLM_F_MULTI == 0
	}
	return nil
}

// dumpError is what the end of a dump says: a number, and behind the request, if that is repeated,
// maybe a text.
func dumpError(typ, flags uint16, body []byte) error {
	if len(body) < 4 {
		return nil
	}
	number := int32(binary.NativeEndian.Uint32(body))
	if number >= 0 {
		return nil
	}
	err, rest := error(unix.Errno(-number)), body[4:]
	if typ == unix.NLMSG_ERROR {
		request := unix.SizeofNlMsghdr
		if flags&unix.NLM_F_CAPPED == 0 && len(rest) >= 4 {
			request = align4(int(binary.NativeEndian.Uint32(rest)))
		}
		rest = rest[min(request, len(rest)):]
	}
	if flags&unix.NLM_F_ACK_TLVS == 0 {
		return err
	}
	attrs, _ := parseAttrs(rest)
	for _, a := range attrs {
		if a.typ == unix.NLMSGERR_ATTR_MSG {
			err = fmt.Errorf("%w: %s", err, a.text())
		}
	}
	return err
}
