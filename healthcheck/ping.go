package healthcheck

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"pbr/compiler/ipproto"
)

// ping sends an echo request and waits for its answer.
func (p *SocketProber) ping(ctx context.Context, c Config, target string) (time.Duration, error) {
	type end struct {
		rtt time.Duration
		err error
	}
	ended := make(chan end, 1)
	until, _ := ctx.Deadline()
	p.pings.send([]BatchProbe{{Config: &c, Target: target, Until: until,
		Ended: func(rtt time.Duration, err error) { ended <- end{rtt, err} }}})
	select {
	case e := <-ended:
		return e.rtt, e.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Batches reports whether a check is by pings.
func (p *SocketProber) Batches(c *Config) bool { return c.Method == MethodPing }

// Batch sends pings.
func (p *SocketProber) Batch(probes []BatchProbe) { p.pings.send(probes) }

// EchoIDs returns the identifiers of the echo requests by uplink, of those that were pinged.
func (p *SocketProber) EchoIDs() map[string]uint16 {
	p.pings.mu.Lock()
	defer p.pings.mu.Unlock()
	ids := make(map[string]uint16, len(p.pings.uplinks))
	for name, u := range p.pings.uplinks {
		ids[name] = u.id
	}
	return ids
}

// An echo request has eight bytes of header (RFC 792), the secret, and a cookie by which the kernel
// tells answers to this process from those to others; it protects nothing.
const (
	echoSecretAt = 8
	echoCookieAt = 16
	echoSize     = 20
	// echoLeast is how much an ICMP error must quote to prove that it is an answer.
	echoLeast = echoCookieAt
)

// pingKey is what an answer must have to be one.
type pingKey struct {
	peer  netip.Addr
	iface int // index of the interface that it comes by
	// id, seq and secret are those of the request.
	id, seq uint16
	secret  uint64
}

// appendRequest appends the echo request to an empty slice.
func (k pingKey) appendRequest(b []byte, cookie uint32) []byte {
	b = append(b, make([]byte, echoSize)...)
	b[0] = byte(ipv4.ICMPTypeEcho)
	if k.peer.Is6() {
		b[0] = byte(ipv6.ICMPTypeEchoRequest)
	}
	binary.BigEndian.PutUint16(b[4:], k.id)
	binary.BigEndian.PutUint16(b[6:], k.seq)
	binary.BigEndian.PutUint64(b[echoSecretAt:], k.secret)
	binary.BigEndian.PutUint32(b[echoCookieAt:], cookie)
	if k.peer.Is4() { // the kernel fills in ICMPv6's (RFC 3542, 3.1)
		binary.BigEndian.PutUint16(b[2:], internetChecksum(b))
	}
	return b
}

// internetChecksum is that of a message of even length (RFC 1071).
func internetChecksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum>>16 + sum)
}

// readPing returns which request an ICMP message from a sender answers, and what an error says. An
// error that quotes too little to hold the secret could be anyone's, and is ignored.
func readPing(b []byte, from netip.Addr, proto int) (k pingKey, why error, ok bool) {
	if len(b) < echoHeader {
		return k, nil, false
	}
	echo, peer := b, from
	switch kind, code := b[0], b[1]; {
	case proto == ipproto.ICMP && kind == byte(ipv4.ICMPTypeEchoReply), proto == ipproto.ICMPv6 && kind == byte(ipv6.ICMPTypeEchoReply):
	case proto == ipproto.ICMP && kind == byte(ipv4.ICMPTypeDestinationUnreachable),
		proto == ipproto.ICMPv6 && kind == byte(ipv6.ICMPTypeDestinationUnreachable):
		why = fmt.Errorf("%s says: destination unreachable (code %d)", from, code)
	case proto == ipproto.ICMP && kind == byte(ipv4.ICMPTypeTimeExceeded),
		proto == ipproto.ICMPv6 && kind == byte(ipv6.ICMPTypeTimeExceeded):
		why = fmt.Errorf("%s says: time exceeded", from)
	default:
		return k, nil, false
	}
	if why != nil {
		if peer, echo, ok = quotedPayload(b[echoHeader:], proto); !ok {
			return k, nil, false
		}
	}
	if len(echo) < echoLeast {
		return k, nil, false
	}
	return pingKey{
		peer: peer, id: binary.BigEndian.Uint16(echo[4:]), seq: binary.BigEndian.Uint16(echo[6:]),
		secret: binary.BigEndian.Uint64(echo[echoSecretAt:]),
	}, why, true
}

// echoHeader is the size of an ICMP message's header (RFC 792, RFC 4443).
const echoHeader = 8

// quotedPayload returns the destination and the payload of the packet that an ICMP error quotes.
func quotedPayload(b []byte, proto int) (dst netip.Addr, payload []byte, ok bool) {
	if proto == ipproto.ICMPv6 {
		const header = 40 // RFC 8200; our requests have no extension headers
		if len(b) < header || b[6] != ipproto.ICMPv6 {
			return dst, nil, false
		}
		return netip.AddrFrom16([16]byte(b[24:40])), b[header:], true
	}
	header, ok := ipv4Header(b)
	if !ok || b[9] != ipproto.ICMP {
		return dst, nil, false
	}
	return netip.AddrFrom4([4]byte(b[16:20])), b[header:], true
}

// ipv4Header is the size of the header that a packet begins with (RFC 791).
func ipv4Header(b []byte) (size int, ok bool) {
	if len(b) < 20 {
		return 0, false
	}
	size = int(b[0]&0x0f) * 4
	return size, size >= 20 && len(b) >= size
}
