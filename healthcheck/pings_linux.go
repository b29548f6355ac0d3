package healthcheck

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"pbr/compiler/ipproto"
)

// pingSocket is a raw ICMP socket (raw(7)). The kernel's ping sockets would do without a privilege,
// but net.ipv4.ping_group_range shuts out root too, unless someone opened it.
type pingSocket struct {
	fd     int
	proto  int
	cookie uint32
	// packet and control hold one message that is received; request, ancillary and to4 or to6 one
	// that is sent.
	packet    [512]byte // no answer comes near
	control   [128]byte
	request   []byte
	ancillary []byte
	to4       unix.SockaddrInet4
	to6       unix.SockaddrInet6
}

const (
	// icmpFilter is ICMP_FILTER (linux/icmp.h).
	icmpFilter = 1
	// pingSendRoom is how much may be on its way out. A neighbour that does not answer, and a
	// device that does not send, hold up to a thousand packets of a kilobyte: those of one uplink
	// must not use up the room of others. It is a limit, and no memory.
	pingSendRoom = 256 << 20
	// pingReceiveRoom is for two thousand answers.
	pingReceiveRoom = 1 << 20
)

func openPingSocket(key pingSocketKey) (*pingSocket, error) {
	family, proto := unix.AF_INET, ipproto.ICMP
	if key.ipv6 {
		family, proto = unix.AF_INET6, ipproto.ICMPv6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return nil, fmt.Errorf("%w: opening an ICMP socket: %w", ErrNotProbed, err)
	}
	s := &pingSocket{fd: fd, proto: proto, cookie: rand.Uint32()}
	if err := s.prepare(key.priority); err != nil {
		s.close()
		return nil, fmt.Errorf("%w: preparing an ICMP socket: %w", ErrNotProbed, err)
	}
	return s, nil
}

// prepare sets what all messages of the socket have in common: their priority (SO_PRIORITY), which
// tells the rules of source NAT that they are probes, and which ones are let in.
func (s *pingSocket) prepare(priority uint32) error {
	set := func(level, option, value int) func() error {
		return func() error { return unix.SetsockoptInt(s.fd, level, option, value) }
	}
	steps := []func() error{
		set(unix.SOL_SOCKET, unix.SO_PRIORITY, int(priority)),
		set(unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, pingSendRoom),
		set(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, pingReceiveRoom),
		s.filter,
	}
	if s.proto == ipproto.ICMPv6 {
		steps = append(steps, set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1), func() error {
			var f unix.ICMPv6Filter // a bit of 1 keeps a type out (RFC 3542, 3.2)
			for i := range f.Data {
				f.Data[i] = 1<<32 - 1
			}
			for _, kind := range []ipv6.ICMPType{ipv6.ICMPTypeEchoReply, ipv6.ICMPTypeDestinationUnreachable, ipv6.ICMPTypeTimeExceeded} {
				f.Data[kind>>5] &^= 1 << (uint(kind) & 31)
			}
			return unix.SetsockoptICMPv6Filter(s.fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f)
		})
	} else {
		const in = 1<<ipv4.ICMPTypeEchoReply | 1<<ipv4.ICMPTypeDestinationUnreachable | 1<<ipv4.ICMPTypeTimeExceeded
		steps = append(steps, set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1), set(unix.SOL_RAW, icmpFilter, ^in))
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// filter keeps out answers to the pings of others, so that they wake nobody.
func (s *pingSocket) filter() error {
	reply := uint32(ipv4.ICMPTypeEchoReply)
	program := []bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadIndirect{Off: 0, Size: 1}}
	cookie := bpf.Instruction(bpf.LoadIndirect{Off: echoCookieAt, Size: 4})
	if s.proto == ipproto.ICMPv6 { // without its IP header
		reply = uint32(ipv6.ICMPTypeEchoReply)
		program = []bpf.Instruction{bpf.LoadAbsolute{Off: 0, Size: 1}}
		cookie = bpf.LoadAbsolute{Off: echoCookieAt, Size: 4}
	}
	const all = 1<<18 - 1
	raw, err := bpf.Assemble(append(program,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: reply, SkipTrue: 1},
		bpf.RetConstant{Val: all},
		cookie,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: s.cookie, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: all},
	))
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, 0, len(raw))
	for _, r := range raw {
		code = append(code, unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K})
	}
	return unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]})
}

// interfaceIndex returns the index of an interface, where the socket is.
func (s *pingSocket) interfaceIndex(name string) (int, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(s.fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0, err
	}
	return int(req.Uint32()), nil
}

// send sends a message out of an interface and no other (IP_PKTINFO, IPV6_PKTINFO), with a mark
// (SO_MARK, as ancillary data since Linux 5.5), so that it takes its uplink's pinned table whatever
// the others say.
func (s *pingSocket) send(message []byte, peer netip.Addr, index int, mark uint32) error {
	var marked [4]byte
	binary.NativeEndian.PutUint32(marked[:], mark)
	b := appendControl(s.ancillary[:0], unix.SOL_SOCKET, unix.SO_MARK, marked[:])
	var to unix.Sockaddr
	if peer.Is4() {
		var info [unix.SizeofInet4Pktinfo]byte
		binary.NativeEndian.PutUint32(info[:], uint32(index))
		b = appendControl(b, unix.IPPROTO_IP, unix.IP_PKTINFO, info[:])
		s.to4.Addr = peer.As4()
		to = &s.to4
	} else {
		var info [unix.SizeofInet6Pktinfo]byte
		binary.NativeEndian.PutUint32(info[16:], uint32(index))
		b = appendControl(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info[:])
		s.to6.Addr, s.to6.ZoneId = peer.As16(), 0
		if peer.IsLinkLocalUnicast() {
			s.to6.ZoneId = uint32(index)
		}
		to = &s.to6
	}
	s.ancillary = b
	for {
		_, err := unix.SendmsgN(s.fd, message, b, to, 0)
		if err != unix.EINTR {
			return err
		}
	}
}

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

// receive takes one message: which request it ends, and what an error says. It is errNoPing for one
// that ends none.
func (s *pingSocket) receive() (k pingKey, why, err error) {
	n, controls, flags, from, err := unix.Recvmsg(s.fd, s.packet[:], s.control[:], unix.MSG_DONTWAIT)
	if err == unix.EINTR {
		return k, nil, errNoPing
	}
	if err != nil {
		return k, nil, err
	}
	b, peer := s.packet[:n], netip.Addr{}
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		size, ok := ipv4Header(b)
		if !ok {
			return k, nil, errNoPing
		}
		b, peer = b[size:], netip.AddrFrom4(from.Addr)
	case *unix.SockaddrInet6:
		peer = netip.AddrFrom16(from.Addr)
	}
	index, ok := receivedBy(s.control[:controls])
	if !ok || flags&unix.MSG_CTRUNC != 0 {
		return k, nil, errNoPing
	}
	if k, why, ok = readPing(b, peer, s.proto); !ok {
		return k, nil, errNoPing
	}
	k.iface = index
	return k, why, nil
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
		return int(binary.NativeEndian.Uint32(data[16:])), true
	}
	return 0, false
}

func (s *pingSocket) close() { _ = unix.Close(s.fd) }

// pollFD is something to wait for (poll(2)).
type pollFD = unix.PollFd

func (s *pingSocket) polled() pollFD { return pollFD{Fd: int32(s.fd), Events: unix.POLLIN} }

// poll waits until there is something to read, not longer than until a time, if there is one.
func poll(list []pollFD, until time.Time) {
	var limit *unix.Timespec
	if !until.IsZero() {
		t := unix.NsecToTimespec(int64(max(0, time.Until(until))))
		limit = &t
	}
	_, _ = unix.Ppoll(list, limit, nil) // whoever waits looks at everything again, whatever it says
}

// bell wakes who polls it (eventfd(2)).
type bell struct {
	fd   int
	open bool
}

func (b *bell) hang() (err error) {
	if b.open {
		return nil
	}
	if b.fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("%w: opening an event descriptor: %w", ErrNotProbed, err)
	}
	b.open = true
	return nil
}

func (b *bell) polled() pollFD { return pollFD{Fd: int32(b.fd), Events: unix.POLLIN} }

func (b *bell) ring() {
	if b.open {
		_, _ = unix.Write(b.fd, binary.NativeEndian.AppendUint64(nil, 1)) // full is as good
	}
}

func (b *bell) silence() {
	_, _ = unix.Read(b.fd, make([]byte, 8)) // it may not have been rung
}

func (b *bell) close() {
	if b.open {
		_ = unix.Close(b.fd)
	}
	*b = bell{}
}
