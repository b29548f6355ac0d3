package healthcheck

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bfdSourceTries is how many ports may turn out to be in use.
	bfdSourceTries = 16
	// internetworkControl is the class of routing protocols' packets (RFC 4594, 3.2: CS6), as the
	// byte of IP_TOS.
	internetworkControl = 0xc0
)

// bfdSockets are those of one session: a receiver, and a sender with a port of its own.
type bfdSockets struct {
	in   *net.UDPConn
	out  net.Conn
	ipv6 bool
}

func openBFD(ctx context.Context, c Config, gateway netip.Addr) (bfdConn, error) {
	s := &bfdSockets{ipv6: gateway.Is6()}
	network, any := "udp4", "0.0.0.0"
	if s.ipv6 {
		network, any = "udp6", "::"
	}
	listen := net.ListenConfig{Control: s.prepare(c)}
	in, err := listen.ListenPacket(ctx, network, net.JoinHostPort(any, strconv.Itoa(bfdPort)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: UDP port %d of %s is taken by another program that speaks BFD (ss -lunp "+
			"'sport = :%d' names it): stop that program, or use another check method for this uplink",
			ErrNotProbed, bfdPort, c.Interface, bfdPort)
	case notProbed(err):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: opening a socket for BFD: %w", ErrNotProbed, cause(err))
	}
	s.in = in.(*net.UDPConn)
	if s.out, err = s.dial(ctx, c, network, gateway); err != nil {
		_ = s.in.Close()
		return nil, err
	}
	return s, nil
}

// dial opens the sender, from a port that is free (RFC 5881, 4).
func (s *bfdSockets) dial(ctx context.Context, c Config, network string, gateway netip.Addr) (conn net.Conn, err error) {
	for range bfdSourceTries {
		port := bfdFirstSource + rand.IntN(1<<16-bfdFirstSource)
		d := net.Dialer{Control: s.prepare(c), LocalAddr: &net.UDPAddr{Port: port}}
		conn, err = d.DialContext(ctx, network, netip.AddrPortFrom(gateway, bfdPort).String())
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	if err != nil && !notProbed(err) {
		err = fmt.Errorf("%w: sending BFD packets to %s: %w", ErrNotProbed, gateway, cause(err))
	}
	return conn, err
}

// prepare returns a hook that binds a socket to the uplink, and makes it send and tell what BFD
// asks for.
func (s *bfdSockets) prepare(c Config) func(network, address string, raw syscall.RawConn) error {
	level, ttl, tell, class := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_RECVTTL, unix.IP_TOS
	if s.ipv6 {
		level, ttl, tell, class = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_RECVHOPLIMIT, unix.IPV6_TCLASS
	}
	return func(_, _ string, raw syscall.RawConn) error {
		if err := raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), level, class, internetworkControl) // nice to have
			_ = unix.SetsockoptInt(int(fd), level, ttl, bfdTTL)                // the peer drops the packets else
			_ = unix.SetsockoptInt(int(fd), level, tell, 1)                    // we drop the packets else
		}); err != nil {
			return err
		}
		return bindTo(raw, c) // sets the priority, which a class changes
	}
}

func (s *bfdSockets) read(until time.Time, b []byte) (n int, from netip.Addr, ttl int, err error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_ = s.in.SetReadDeadline(until)
	n, oobn, _, sender, err := s.in.ReadMsgUDPAddrPort(b, oob)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// On a busy machine the packet that was waited for lies in the socket, and the deadline has
		// passed anyway.
		return s.waiting(b)
	}
	return n, sender.Addr().Unmap().WithZone(""), hops(oob[:oobn]), err
}

// waiting reads a packet that came already.
func (s *bfdSockets) waiting(b []byte) (n int, from netip.Addr, ttl int, err error) {
	raw, err := s.in.SyscallConn()
	if err != nil {
		return 0, from, 0, err
	}
	oob := make([]byte, unix.CmsgSpace(4))
	var oobn int
	var sender unix.Sockaddr
	if cerr := raw.Control(func(fd uintptr) { n, oobn, _, sender, err = unix.Recvmsg(int(fd), b, oob, unix.MSG_DONTWAIT) }); cerr != nil {
		return 0, from, 0, cerr
	}
	if err != nil {
		return 0, from, 0, os.ErrDeadlineExceeded
	}
	switch a := sender.(type) {
	case *unix.SockaddrInet4:
		from = netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		from = netip.AddrFrom16(a.Addr)
	}
	return n, from, hops(oob[:oobn]), nil
}

// hops is the TTL or hop limit that the kernel tells of a packet, 0 if it does not.
func hops(oob []byte) int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_TTL
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT
		if (v4 || v6) && len(m.Data) >= 4 {
			return int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}

func (s *bfdSockets) write(b []byte) error {
	_, err := s.out.Write(b)
	return err
}

func (s *bfdSockets) stop() { _ = s.in.Close() }

func (s *bfdSockets) close() {
	s.stop()
	_ = s.out.Close()
}
