package healthcheck

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/ipv6"
)

// etherTypeARP is ETH_P_ARP of linux/if_ether.h.
const etherTypeARP = 0x0806

// neighbour asks a neighbour for its link-layer address: by ARP, or by a neighbour solicitation for
// IPv6.
func (p *SocketProber) neighbour(ctx context.Context, c Config, target string) (time.Duration, error) {
	dst, err := parseAddr(target)
	if err != nil {
		return 0, err
	}
	if dst.Is6() {
		return p.solicit(ctx, c, dst)
	}
	s, err := p.shared(c, kindARP, openARP)
	if err != nil {
		return 0, err
	}
	k := waitKey{from: dst, to: p.source(ctx, c, dst)}
	request := arpMessage{operation: arpRequest, senderMAC: s.mac, sender: k.to, targetMAC: make(net.HardwareAddr, len(s.mac)), target: dst}
	return s.waiters.exchange(ctx, k, func() error {
		_, err := s.conn.WriteTo(request.marshal(), &packet.Addr{HardwareAddr: bytes.Repeat([]byte{0xff}, len(s.mac))})
		return err
	})
}

// source returns the address that the kernel would send from to a target of the uplink, 0.0.0.0 if
// none: a request from that is a probe that every host answers too (RFC 5227).
func (p *SocketProber) source(ctx context.Context, c Config, dst netip.Addr) netip.Addr {
	const discard = 9 // any port: connecting a UDP socket sends nothing
	conn, err := p.dial(ctx, c, "udp4", netip.AddrPortFrom(dst, discard).String())
	if err != nil {
		return netip.IPv4Unspecified()
	}
	defer conn.Close()
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.IPv4Unspecified()
}

func openARP(c Config) (*sharedSocket, error) {
	ifi, err := ethernet(c)
	if err != nil {
		return nil, err
	}
	conn, err := packet.Listen(ifi, packet.Datagram, etherTypeARP, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: opening an ARP socket: %w", ErrNotProbed, cause(err))
	}
	s, err := newShared(conn, c)
	if err == nil {
		err = bindTo(s.raw, c)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	s.mac = ifi.HardwareAddr
	go s.serve(func(b []byte) { s.takeARP(b, time.Now()) })
	return s, nil
}

// ethernet returns an uplink's interface, which must have neighbours to ask for.
func ethernet(c Config) (*net.Interface, error) {
	ifi, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return nil, fmt.Errorf("%w: finding %s: %w", ErrNotProbed, c.Interface, err)
	}
	if len(ifi.HardwareAddr) != 6 {
		return nil, fmt.Errorf("%w: %s has no Ethernet address, and so no neighbours", ErrNotProbed, c.Interface)
	}
	return ifi, nil
}

// takeARP looks at an ARP packet: only what was sent to us, in answer to what we asked, is an
// answer.
func (s *sharedSocket) takeARP(b []byte, now time.Time) {
	m, ok := parseARP(b)
	if !ok || m.operation != arpReply || !bytes.Equal(m.targetMAC, s.mac) {
		return
	}
	s.waiters.answer(waitKey{from: m.sender, to: m.target}, reply{at: now})
}

// solicit sends a neighbour solicitation to the target's multicast group.
func (p *SocketProber) solicit(ctx context.Context, c Config, dst netip.Addr) (time.Duration, error) {
	s, err := p.shared(c, kindNDP, openNDP)
	if err != nil {
		return 0, err
	}
	b, group := solicitation(dst, s.mac), solicitedNode(dst)
	return s.waiters.exchange(ctx, waitKey{from: dst}, func() error {
		_, err := s.conn.WriteTo(b, &net.IPAddr{IP: group.AsSlice()})
		return err
	})
}

func openNDP(c Config) (*sharedSocket, error) {
	ifi, err := ethernet(c)
	if err != nil {
		return nil, err
	}
	s, err := openRaw(c)
	if err != nil {
		return nil, err
	}
	s.mac = ifi.HardwareAddr
	var f ipv6.ICMPFilter
	f.SetAll(true)
	f.Accept(ipv6.ICMPTypeNeighborAdvertisement)
	conn := ipv6.NewPacketConn(s.conn)
	err = conn.SetICMPFilter(&f)
	if err == nil {
		err = conn.SetMulticastHopLimit(ndpHopLimit)
	}
	if err == nil {
		err = conn.SetControlMessage(ipv6.FlagHopLimit, true)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%w: preparing a socket for neighbour discovery: %w", ErrNotProbed, err)
	}
	go s.serveNDP(conn)
	return s, nil
}

// openRaw opens a raw ICMPv6 socket.
func openRaw(c Config) (*sharedSocket, error) {
	lc := net.ListenConfig{Control: bound(c)}
	conn, err := lc.ListenPacket(context.Background(), "ip6:58", "::")
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
	return s, nil
}

// serveNDP reads neighbour advertisements until the socket is closed or broken.
func (s *sharedSocket) serveNDP(conn *ipv6.PacketConn) {
	buf := make([]byte, 2048)
	for {
		n, cm, _, err := conn.ReadFrom(buf)
		if err != nil {
			s.broken.Store(true)
			return
		}
		// Whoever is not on the link cannot send a hop limit of 255 (RFC 4861, 3.1).
		if cm != nil && cm.HopLimit == ndpHopLimit {
			s.takeNDP(buf[:n], time.Now())
		}
	}
}

// takeNDP looks at a neighbour advertisement.
func (s *sharedSocket) takeNDP(b []byte, now time.Time) {
	if target, ok := parseAdvertisement(b); ok {
		s.waiters.answer(waitKey{from: target}, reply{at: now})
	}
}
