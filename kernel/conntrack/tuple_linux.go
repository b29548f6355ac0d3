package conntrack

import (
	"encoding/binary"
	"net/netip"

	"github.com/mdlayher/netlink"
)

// Attributes of a tuple (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctaTupleProto = 2

	ctaIPv6Src = 3
	ctaIPv6Dst = 4

	ctaProtoNum     = 1
	ctaProtoSrcPort = 2
	ctaProtoDstPort = 3
	ctaICMPID       = 4
	ctaICMPType     = 5
	ctaICMPv6ID     = 7
	ctaICMPv6Type   = 8
)

// decodeInto decodes one direction of a listed connection, and the identifier of its echo requests
// where it is ICMP.
func decodeInto(t *Tuple, echoID *uint16) func(*netlink.AttributeDecoder) error {
	return func(tuple *netlink.AttributeDecoder) error {
		for tuple.Next() {
			switch tuple.Type() {
			case ctaTupleIP:
				tuple.Nested(t.addresses)
			case ctaTupleProto:
				tuple.Nested(func(proto *netlink.AttributeDecoder) error { return t.protocol(proto, echoID) })
			}
		}
		return nil
	}
}

func (t *Tuple) addresses(ip *netlink.AttributeDecoder) error {
	for ip.Next() {
		addr, _ := netip.AddrFromSlice(ip.Bytes())
		switch ip.Type() {
		case ctaIPv4Src, ctaIPv6Src:
			t.Src = addr
		case ctaIPv4Dst, ctaIPv6Dst:
			t.Dst = addr
		}
	}
	return nil
}

func (t *Tuple) protocol(proto *netlink.AttributeDecoder, echoID *uint16) error {
	for proto.Next() {
		switch b := proto.Bytes(); {
		case proto.Type() == ctaProtoNum && len(b) == 1:
			t.Proto = b[0]
		case proto.Type() == ctaProtoSrcPort && len(b) == 2:
			t.SPort, t.HasPorts = binary.BigEndian.Uint16(b), true
		case proto.Type() == ctaProtoDstPort && len(b) == 2:
			t.DPort, t.HasPorts = binary.BigEndian.Uint16(b), true
		case (proto.Type() == ctaICMPType || proto.Type() == ctaICMPv6Type) && len(b) == 1:
			t.ICMPType = b[0]
		case (proto.Type() == ctaICMPID || proto.Type() == ctaICMPv6ID) && len(b) == 2:
			*echoID = binary.BigEndian.Uint16(b)
		}
	}
	return nil
}
