package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// IP protocol numbers (IANA) that Packet knows headers of; others carry a bare payload.
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// Ether types (IANA); the sentinel's is one for local experiments (IEEE 802).
const (
	etherIPv4     = 0x0800
	etherIPv6     = 0x86dd
	etherSentinel = 0x88b5
)

// payloadMagic starts the payload of every packet that the lab sends; the packet's id follows.
var payloadMagic = [4]byte{'p', 'b', 'r', '!'}

const payloadLen = len(payloadMagic) + 8

// TCP flags (RFC 9293, section 3.1).
const (
	TCPSyn = 0x02
	TCPAck = 0x10
)

// Packet is one IP packet in an Ethernet frame, as sent or as seen.
type Packet struct {
	// ID tells the packet from all others, whatever NAT does to its headers.
	ID             uint64
	SrcMAC, DstMAC [6]byte
	Src, Dst       netip.Addr
	Proto          uint8
	// SPort and DPort are of UDP and TCP; SPort is the identifier of ICMP echoes.
	SPort, DPort uint16
	TCPFlags     uint8
	ICMPType     uint8
	// DSCP is the code point, 0..63.
	DSCP uint8
}

func (p Packet) String() string {
	s := fmt.Sprintf("#%d %s > %s proto %d", p.ID, p.Src, p.Dst, p.Proto)
	switch p.Proto {
	case ProtoTCP, ProtoUDP:
		s += fmt.Sprintf(" ports %d > %d", p.SPort, p.DPort)
	case ProtoICMP, ProtoICMPv6:
		s += fmt.Sprintf(" type %d", p.ICMPType)
	}
	if p.DSCP != 0 {
		s += fmt.Sprintf(" dscp %d", p.DSCP)
	}
	return s + fmt.Sprintf(" mac %x", p.SrcMAC)
}

// Reply returns the packet that answers p, as p was seen: addresses and ports swapped.
func (p Packet) Reply(id uint64) Packet {
	r := p
	r.ID = id
	r.Src, r.Dst = p.Dst, p.Src
	r.SrcMAC, r.DstMAC = p.DstMAC, p.SrcMAC
	switch p.Proto {
	case ProtoTCP, ProtoUDP:
		r.SPort, r.DPort = p.DPort, p.SPort
	case ProtoICMP, ProtoICMPv6:
		r.ICMPType = icmpAnswer(p.Proto, p.ICMPType)
	}
	if p.Proto == ProtoTCP {
		r.TCPFlags = TCPSyn | TCPAck
	}
	return r
}

// icmpAnswer returns the type that answers a request (RFC 792, RFC 950, RFC 4443, RFC 4620).
func icmpAnswer(proto, request uint8) uint8 {
	if proto == ProtoICMP && request == 8 {
		return 0
	}
	return request + 1
}

// Frame encodes p with right lengths and checksums.
func (p Packet) Frame() []byte {
	l4 := p.transport()
	b := make([]byte, 0, 14+40+len(l4))
	b = append(b, p.DstMAC[:]...)
	b = append(b, p.SrcMAC[:]...)
	if p.Src.Is4() {
		b = binary.BigEndian.AppendUint16(b, etherIPv4)
		b = append(b, p.header4(len(l4))...)
	} else {
		b = binary.BigEndian.AppendUint16(b, etherIPv6)
		b = append(b, p.header6(len(l4))...)
	}
	return append(b, l4...)
}

func (p Packet) header4(payload int) []byte {
	h := make([]byte, 20)
	h[0] = 0x45
	h[1] = p.DSCP << 2
	binary.BigEndian.PutUint16(h[2:], uint16(20+payload))
	h[8], h[9] = 64, p.Proto
	copy(h[12:], p.Src.AsSlice())
	copy(h[16:], p.Dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(0, h))
	return h
}

func (p Packet) header6(payload int) []byte {
	h := make([]byte, 40)
	binary.BigEndian.PutUint32(h, 6<<28|uint32(p.DSCP)<<22)
	binary.BigEndian.PutUint16(h[4:], uint16(payload))
	h[6], h[7] = p.Proto, 64
	copy(h[8:], p.Src.AsSlice())
	copy(h[24:], p.Dst.AsSlice())
	return h
}

// transport encodes what follows the IP header. Sequence numbers are arbitrary constants.
func (p Packet) transport() []byte {
	var h []byte
	sumAt := -1
	switch p.Proto {
	case ProtoUDP:
		h = make([]byte, 8, 8+payloadLen)
		binary.BigEndian.PutUint16(h[4:], uint16(8+payloadLen))
		sumAt = 6
	case ProtoTCP:
		h = make([]byte, 20, 20+payloadLen)
		binary.BigEndian.PutUint32(h[4:], 1000)
		binary.BigEndian.PutUint32(h[8:], 1000)
		h[12], h[13] = 5<<4, p.TCPFlags
		binary.BigEndian.PutUint16(h[14:], 0xffff)
		sumAt = 16
	case ProtoICMP, ProtoICMPv6:
		h = make([]byte, 8, 8+payloadLen)
		h[0] = p.ICMPType
		binary.BigEndian.PutUint16(h[4:], p.SPort)
		sumAt = 2
	}
	if p.Proto == ProtoUDP || p.Proto == ProtoTCP {
		binary.BigEndian.PutUint16(h, p.SPort)
		binary.BigEndian.PutUint16(h[2:], p.DPort)
	}
	h = append(h, payloadMagic[:]...)
	h = binary.BigEndian.AppendUint64(h, p.ID)
	if sumAt >= 0 {
		sum := checksum(p.pseudoSum(len(h)), h)
		if sum == 0 && p.Proto == ProtoUDP {
			sum = 0xffff // zero means "no checksum" (RFC 768)
		}
		binary.BigEndian.PutUint16(h[sumAt:], sum)
	}
	return h
}

// pseudoSum is the unfolded sum of the pseudo header, which ICMP for IPv4 does not have.
func (p Packet) pseudoSum(length int) uint32 {
	if p.Proto == ProtoICMP {
		return 0
	}
	return sum(0, p.Src.AsSlice()) + sum(0, p.Dst.AsSlice()) + uint32(p.Proto) + uint32(length)
}

func sum(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

// checksum is the internet checksum (RFC 1071) of b on top of an unfolded sum.
func checksum(s uint32, b []byte) uint16 {
	s = sum(s, b)
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// parsePacket decodes a frame that the lab sent; ok is false for anything else, ICMP errors
// that quote such a frame included.
func parsePacket(b []byte) (p Packet, ok bool) {
	if len(b) < 14+20 {
		return p, false
	}
	copy(p.DstMAC[:], b)
	copy(p.SrcMAC[:], b[6:])
	etherType := binary.BigEndian.Uint16(b[12:])
	b = b[14:]
	switch {
	case etherType == etherIPv4:
		length := int(binary.BigEndian.Uint16(b[2:]))
		if b[0] != 0x45 || length > len(b) || length < 20 {
			return p, false
		}
		p.DSCP, p.Proto = b[1]>>2, b[9]
		p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		b = b[20:length]
	case etherType == etherIPv6 && len(b) >= 40:
		length := int(binary.BigEndian.Uint16(b[4:]))
		if 40+length > len(b) {
			return p, false
		}
		p.DSCP, p.Proto = uint8(binary.BigEndian.Uint32(b)>>22)&0x3f, b[6]
		p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		b = b[40 : 40+length]
	default:
		return p, false
	}
	return p, p.parseTransport(b)
}

func (p *Packet) parseTransport(b []byte) bool {
	header := 0
	switch p.Proto {
	case ProtoUDP, ProtoICMP, ProtoICMPv6:
		header = 8
	case ProtoTCP:
		header = 20
	}
	if len(b) != header+payloadLen || [4]byte(b[header:header+4]) != payloadMagic {
		return false
	}
	switch p.Proto {
	case ProtoICMP, ProtoICMPv6:
		p.ICMPType, p.SPort = b[0], binary.BigEndian.Uint16(b[4:])
	case ProtoTCP:
		p.TCPFlags = b[13]
		fallthrough
	case ProtoUDP:
		p.SPort, p.DPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	}
	p.ID = binary.BigEndian.Uint64(b[header+4:])
	return true
}

// Payload is what a socket has to send for the packet to be recognised by its id.
func Payload(id uint64) []byte {
	return binary.BigEndian.AppendUint64(payloadMagic[:len(payloadMagic):len(payloadMagic)], id)
}
