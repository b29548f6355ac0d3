package healthcheck

import (
	"fmt"
	"math/rand/v2"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"pbr/compiler/ipproto"
)

// pingSocket is a raw ICMP socket (raw(7)). The kernel's ping sockets would do without a privilege,
// but net.ipv4.ping_group_range shuts out root too, unless someone opened it.
type pingSocket struct {
	fd      int
	proto   int
	cookie  uint32
	request []byte
	// in and out are for the message that is received or sent.
	in, out pingMessage
	packet  [512]byte // what was received; no answer comes near
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
	s.prepareMessages()
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

func (s *pingSocket) close() { _ = unix.Close(s.fd) }
