package healthcheck

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"pbr/compiler/ipproto"
)

// ping sends an echo request.
func (p *SocketProber) ping(ctx context.Context, c Config, target string) (time.Duration, error) {
	dst, err := parseAddr(target)
	if err != nil {
		return 0, err
	}
	kind, open := kindPing4, openPing4
	request := icmp.Message{Type: ipv4.ICMPTypeEcho}
	if dst.Is6() {
		kind, open = kindPing6, openPing6
		request.Type = ipv6.ICMPTypeEchoRequest
	}
	s, err := p.shared(c, kind, open)
	if err != nil {
		return 0, err
	}
	k := waitKey{from: dst, seq: uint16(s.seq.Add(1)), secret: rand.Uint64()}
	request.Body = &icmp.Echo{ID: int(s.id), Seq: int(k.seq), Data: binary.BigEndian.AppendUint64(nil, k.secret)}
	b, err := request.Marshal(nil) // the kernel fills in ICMPv6's checksum (RFC 3542, 3.1)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotProbed, err)
	}
	return s.waiters.exchange(ctx, k, func() error {
		_, err := s.conn.WriteTo(b, &net.IPAddr{IP: dst.AsSlice()})
		return err
	})
}

func openPing4(c Config) (*sharedSocket, error) {
	s, err := openRaw(c, "ip4:1", "0.0.0.0")
	if err != nil {
		return nil, err
	}
	var f ipv4.ICMPFilter
	f.SetAll(true)
	f.Accept(ipv4.ICMPTypeEchoReply)
	f.Accept(ipv4.ICMPTypeDestinationUnreachable)
	f.Accept(ipv4.ICMPTypeTimeExceeded)
	return s.servePing(ipv4.NewPacketConn(s.conn).SetICMPFilter(&f), ipproto.ICMP)
}

func openPing6(c Config) (*sharedSocket, error) {
	s, err := openRaw(c, "ip6:58", "::")
	if err != nil {
		return nil, err
	}
	var f ipv6.ICMPFilter
	f.SetAll(true)
	f.Accept(ipv6.ICMPTypeEchoReply)
	f.Accept(ipv6.ICMPTypeDestinationUnreachable)
	f.Accept(ipv6.ICMPTypeTimeExceeded)
	return s.servePing(ipv6.NewPacketConn(s.conn).SetICMPFilter(&f), ipproto.ICMPv6)
}

// openRaw opens a raw ICMP socket. The kernel's ping sockets would do without a privilege, but
// net.ipv4.ping_group_range shuts out root too, unless someone opened it.
func openRaw(c Config, network, address string) (*sharedSocket, error) {
	lc := net.ListenConfig{Control: bound(c)}
	conn, err := lc.ListenPacket(context.Background(), network, address)
	if err != nil {
		if notProbed(err) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: opening an ICMP socket: %w", ErrNotProbed, cause(err))
	}
	s, err := newShared(conn, c)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	s.id = uint16(rand.Uint32())
	return s, nil
}

// servePing starts reading, unless the filter could not be set.
func (s *sharedSocket) servePing(err error, proto int) (*sharedSocket, error) {
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%w: setting the filter of an ICMP socket: %w", ErrNotProbed, err)
	}
	go s.serve(func(b []byte, from net.Addr) { s.takePing(b, from, proto, time.Now()) })
	return s, nil
}

// takePing looks at an ICMP message.
func (s *sharedSocket) takePing(b []byte, from net.Addr, proto int, now time.Time) {
	m, err := icmp.ParseMessage(proto, b)
	if err != nil {
		return
	}
	addr := addrOf(from)
	switch body := m.Body.(type) {
	case *icmp.Echo:
		if k, ok := s.echoKey(addr, body.ID, body.Seq, body.Data); ok {
			s.waiters.answer(k, reply{at: now})
		}
	case *icmp.DstUnreach:
		s.takeError(body.Data, proto, now, fmt.Errorf("%s says: destination unreachable (code %d)", addr, m.Code))
	case *icmp.TimeExceeded:
		s.takeError(body.Data, proto, now, fmt.Errorf("%s says: time exceeded", addr))
	}
}

// echoKey returns the key of an echo that is one of ours.
func (s *sharedSocket) echoKey(peer netip.Addr, id, seq int, data []byte) (waitKey, bool) {
	if id != int(s.id) || len(data) < 8 {
		return waitKey{}, false
	}
	return waitKey{from: peer, seq: uint16(seq), secret: binary.BigEndian.Uint64(data)}, true
}

// takeError fails the probe that an ICMP error quotes. An error that quotes too little to hold the
// secret could be anyone's, and is ignored.
func (s *sharedSocket) takeError(quoted []byte, proto int, now time.Time, why error) {
	dst, b, ok := quotedPayload(quoted, proto)
	if !ok {
		return
	}
	const echoHeader = 8 // RFC 792
	if len(b) < echoHeader {
		return
	}
	if k, ok := s.echoKey(dst, int(binary.BigEndian.Uint16(b[4:])), int(binary.BigEndian.Uint16(b[6:])), b[echoHeader:]); ok {
		s.waiters.answer(k, reply{at: now, err: why})
	}
}

// quotedPayload returns the destination and the payload of the packet that an ICMP error quotes.
func quotedPayload(b []byte, proto int) (dst netip.Addr, payload []byte, ok bool) {
	if proto == ipproto.ICMPv6 {
		const header = 40 // RFC 8200; our requests have no extension headers
		if len(b) < header || b[6] != ipproto.ICMPv6 {
			return dst, nil, false
		}
		return netip.AddrFrom16([16]byte(b[24:40])), b[header:], true
	}
	if len(b) < 20 || b[9] != ipproto.ICMP {
		return dst, nil, false
	}
	header := int(b[0]&0x0f) * 4 // RFC 791
	if header < 20 || len(b) < header {
		return dst, nil, false
	}
	return netip.AddrFrom4([4]byte(b[16:20])), b[header:], true
}

// addrOf returns a sender's address without its zone, which is the interface.
func addrOf(a net.Addr) netip.Addr {
	ip, ok := a.(*net.IPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(ip.IP)
	return addr.Unmap()
}
