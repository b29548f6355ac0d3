package healthcheck

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"pbr/compiler/ipproto"
)

// pingMessage is a message of a ping socket with all that belongs to it, as the kernel takes and
// gives it (sendmsg(2), recvmsg(2)). It is used again and again.
type pingMessage struct {
	header unix.Msghdr
	vector unix.Iovec
	// peer4 or peer6 is the address that it goes to or comes from.
	peer4 unix.RawSockaddrInet4
	peer6 unix.RawSockaddrInet6
	// control is the ancillary data. Of one that is sent, markAt and indexAt are where the mark and
	// the interface are.
	control         [128]byte
	markAt, indexAt int
}

// prepareMessages writes what all messages of the socket have in common.
func (s *pingSocket) prepareMessages() {
	for _, m := range []*pingMessage{&s.in, &s.out} {
		m.peer4.Family, m.peer6.Family = unix.AF_INET, unix.AF_INET6
		m.header.Name, m.header.Namelen = (*byte)(unsafe.Pointer(&m.peer4)), unix.SizeofSockaddrInet4
		if s.proto == ipproto.ICMPv6 {
			m.header.Name, m.header.Namelen = (*byte)(unsafe.Pointer(&m.peer6)), unix.SizeofSockaddrInet6
		}
		m.header.Iov, m.header.Control = &m.vector, &m.control[0]
		m.header.SetIovlen(1)
	}
	s.in.vector.Base = &s.packet[0]
	s.in.vector.SetLen(len(s.packet))
	m := &s.out
	m.markAt = unix.CmsgLen(0)
	b := appendControl(m.control[:0], unix.SOL_SOCKET, unix.SO_MARK, make([]byte, 4))
	if m.indexAt = len(b) + unix.CmsgLen(0); s.proto == ipproto.ICMPv6 {
		b = appendControl(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, make([]byte, unix.SizeofInet6Pktinfo))
		m.indexAt += net6PktinfoIndex
	} else {
		b = appendControl(b, unix.IPPROTO_IP, unix.IP_PKTINFO, make([]byte, unix.SizeofInet4Pktinfo))
	}
	m.header.SetControllen(len(b))
}

// net6PktinfoIndex is where struct in6_pktinfo has the interface (RFC 3542, 6.1); struct in_pktinfo
// begins with it.
const net6PktinfoIndex = 16

// appendControl appends a message of ancillary data (cmsg(3)).
func appendControl(b []byte, level, typ int, data []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, unix.CmsgSpace(len(data)))...)
	h := b[at:]
	if unix.SizeofCmsghdr == 16 {
		binary.NativeEndian.PutUint64(h, uint64(unix.CmsgLen(len(data))))
	} else {
		binary.NativeEndian.PutUint32(h, uint32(unix.CmsgLen(len(data))))
	}
	binary.NativeEndian.PutUint32(h[unix.SizeofCmsghdr-8:], uint32(level))
	binary.NativeEndian.PutUint32(h[unix.SizeofCmsghdr-4:], uint32(typ))
	copy(h[unix.CmsgLen(0):], data)
	return b
}

// send sends a message out of an interface and no other (IP_PKTINFO, IPV6_PKTINFO), with a mark
// (SO_MARK, as ancillary data since Linux 5.5), so that it takes its uplink's pinned table whatever
// the others say.
func (s *pingSocket) send(message []byte, peer netip.Addr, index int, mark uint32) error {
	m := &s.out
	binary.NativeEndian.PutUint32(m.control[m.markAt:], mark)
	binary.NativeEndian.PutUint32(m.control[m.indexAt:], uint32(index))
	if peer.Is4() {
		m.peer4.Addr = peer.As4()
	} else {
		m.peer6.Addr, m.peer6.Scope_id = peer.As16(), 0
		if peer.IsLinkLocalUnicast() {
			m.peer6.Scope_id = uint32(index)
		}
	}
	m.vector.Base = &message[0]
	m.vector.SetLen(len(message))
	_, err := s.call(unix.SYS_SENDMSG, m)
	return err
}

// receive takes one message: which request it ends, and what an error says. It is errNoPing for one
// that ends none.
func (s *pingSocket) receive() (k pingKey, why, err error) {
	m := &s.in
	m.header.Namelen = s.out.header.Namelen // the kernel writes how long it is
	m.header.SetControllen(len(m.control))
	n, err := s.call(unix.SYS_RECVMSG, m)
	if err != nil {
		return k, nil, err
	}
	b, peer := s.packet[:n], netip.AddrFrom16(m.peer6.Addr)
	if s.proto == ipproto.ICMP {
		size, ok := ipv4Header(b)
		if !ok {
			return k, nil, errNoPing
		}
		b, peer = b[size:], netip.AddrFrom4(m.peer4.Addr)
	}
	index, ok := receivedBy(m.control[:m.header.Controllen])
	if !ok || m.header.Flags&unix.MSG_CTRUNC != 0 {
		return k, nil, errNoPing
	}
	if k, why, ok = readPing(b, peer, s.proto); !ok {
		return k, nil, errNoPing
	}
	k.iface = index
	return k, why, nil
}

// call is sendmsg(2) or recvmsg(2), neither of which waits for anything. Go is not told of the
// call: what it does for calls that may wait takes a thread of its own that wakes up every 20
// microseconds, with each batch.
func (s *pingSocket) call(number uintptr, m *pingMessage) (n int, err error) {
	for {
		n, _, errno := unix.RawSyscall(number, uintptr(s.fd), uintptr(unsafe.Pointer(&m.header)), unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}

// receivedBy is the interface that ancillary data names.
func receivedBy(b []byte) (index int, ok bool) {
	if len(b) < unix.CmsgLen(0) {
		return 0, false
	}
	level := binary.NativeEndian.Uint32(b[unix.SizeofCmsghdr-8:])
	typ := binary.NativeEndian.Uint32(b[unix.SizeofCmsghdr-4:])
	data := b[unix.CmsgLen(0):]
	switch {
	case level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		return int(binary.NativeEndian.Uint32(data)), true
	case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		return int(binary.NativeEndian.Uint32(data[net6PktinfoIndex:])), true
	}
	return 0, false
}
