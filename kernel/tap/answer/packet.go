package answer

import (
	"encoding/binary"
	"net/netip"

	"pbr/compiler/ipproto"
)

// Protocol numbers and the IPv6 headers that may stand before them (IANA).
const (
	headerHopByHop = 0
	headerRouting  = 43
	headerFragment = 44
	headerOptions  = 60
)

// Flags of TCP (RFC 9293, section 3.1).
const (
	flagFIN = 1 << 0
	flagSYN = 1 << 1
	flagRST = 1 << 2
)

// Packet is what of an IP packet counts here.
type Packet struct {
	Src, Dst netip.AddrPort
	// TCP tells TCP from UDP; Seq and Flags are TCP's.
	TCP   bool
	Seq   uint32
	Flags uint8
	// Payload is a view of the packet.
	Payload []byte
}

// ReadPacket reads an IPv4 or IPv6 packet; ok is false if it carries neither TCP nor UDP, is a
// later fragment, or is damaged.
func ReadPacket(b []byte) (p Packet, ok bool) {
	if len(b) < 20 {
		return p, false
	}
	var src, dst netip.Addr
	var proto uint8
	var rest []byte
	switch b[0] >> 4 {
	case 4:
		length, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
		if length < 20 || total < length || total > len(b) || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return p, false
		}
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		proto, rest = b[9], b[length:total]
	case 6:
		if len(b) < 40 {
			return p, false
		}
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if total > len(b) {
			return p, false
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		if proto, rest, ok = skipHeaders(b[6], b[40:total]); !ok {
			return p, false
		}
	default:
		return p, false
	}
	return p.transport(src, dst, proto, rest)
}

// skipHeaders passes the IPv6 extension headers.
func skipHeaders(next uint8, b []byte) (proto uint8, rest []byte, ok bool) {
	for {
		switch next {
		case headerHopByHop, headerRouting, headerOptions:
			if len(b) < 8 || len(b) < 8*(1+int(b[1])) {
				return 0, nil, false
			}
			next, b = b[0], b[8*(1+int(b[1])):]
		case headerFragment:
			if len(b) < 8 || binary.BigEndian.Uint16(b[2:])>>3 != 0 {
				return 0, nil, false
			}
			next, b = b[0], b[8:]
		default:
			return next, b, true
		}
	}
}

func (p Packet) transport(src, dst netip.Addr, proto uint8, b []byte) (Packet, bool) {
	header := 8
	switch proto {
	case ipproto.UDP:
		if len(b) < header {
			return p, false
		}
	case ipproto.TCP:
		if len(b) < 20 || len(b) < int(b[12]>>4)*4 || b[12]>>4 < 5 {
			return p, false
		}
		header = int(b[12]>>4) * 4
		p.TCP, p.Seq, p.Flags = true, binary.BigEndian.Uint32(b[4:]), b[13]
	default:
		return p, false
	}
	p.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	p.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	p.Payload = b[header:]
	return p, true
}
