package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// sourceKind is the expression that reads a field.
type sourceKind uint8

const (
	fromMeta sourceKind = iota
	fromCT
	fromFib
	fromPayload
	fromCgroup
)

// source says where a field is read from and what nft tests before it.
type source struct {
	kind sourceKind
	// key is the meta or ct key, the flags of fib, or the level of a control group.
	key   uint32
	place payload
	// mask and shift take a field out of the bytes that hold it.
	mask  []byte
	shift int
	// family and proto are the meta nfproto and l4proto values that the field needs, 0 for none;
	// ether that it needs Ethernet.
	family, proto uint8
	ether         bool
	// prefixes means that an interval may be a prefix.
	prefixes bool
}

// Offsets in bytes: RFC 791 and RFC 8200 for addresses, RFC 768 and 9293 for ports, IEEE 802.3 for
// the source address, RFC 2474 for DSCP (the upper 6 bits of the second byte, in IPv6 shifted by 4
// bits of version).
var sources = [...]source{
	plan.FieldIIFName: {kind: fromMeta, key: unix.NFT_META_IIFNAME},
	plan.FieldOIFName: {kind: fromMeta, key: unix.NFT_META_OIFNAME},
	plan.FieldNFProto: {kind: fromMeta, key: unix.NFT_META_NFPROTO},
	plan.FieldL4Proto: {kind: fromMeta, key: unix.NFT_META_L4PROTO},
	plan.FieldSKUID:   {kind: fromMeta, key: unix.NFT_META_SKUID},
	plan.FieldSKGID:   {kind: fromMeta, key: unix.NFT_META_SKGID},
	plan.FieldTime:    {kind: fromMeta, key: metaTime},
	plan.FieldMark:    {kind: fromMeta, key: unix.NFT_META_MARK},

	plan.FieldCgroup1: {kind: fromCgroup, key: 1},
	plan.FieldCgroup2: {kind: fromCgroup, key: 2},
	plan.FieldCgroup3: {kind: fromCgroup, key: 3},
	plan.FieldCgroup4: {kind: fromCgroup, key: 4},
	plan.FieldCgroup5: {kind: fromCgroup, key: 5},
	plan.FieldCgroup6: {kind: fromCgroup, key: 6},
	plan.FieldCgroup7: {kind: fromCgroup, key: 7},
	plan.FieldCgroup8: {kind: fromCgroup, key: 8},

	plan.FieldPriority: {kind: fromMeta, key: unix.NFT_META_PRIORITY},

	plan.FieldCTMark:   {kind: fromCT, key: unix.NFT_CT_MARK},
	plan.FieldCTState:  {kind: fromCT, key: unix.NFT_CT_STATE},
	plan.FieldCTStatus: {kind: fromCT, key: unix.NFT_CT_STATUS},

	plan.FieldCTDirection: {kind: fromCT, key: unix.NFT_CT_DIRECTION},
	plan.FieldCTOrigDPort: {kind: fromCT, key: unix.NFT_CT_PROTO_DST},

	plan.FieldFibSAddrType:    {kind: fromFib, key: unix.NFTA_FIB_F_SADDR},
	plan.FieldFibDAddrType:    {kind: fromFib, key: unix.NFTA_FIB_F_DADDR},
	plan.FieldFibSAddrOIFType: {kind: fromFib, key: unix.NFTA_FIB_F_SADDR | unix.NFTA_FIB_F_OIF},
	plan.FieldFibSAddrBack: {kind: fromFib,
		key: unix.NFTA_FIB_F_SADDR | unix.NFTA_FIB_F_MARK | unix.NFTA_FIB_F_IIF | unix.NFTA_FIB_F_PRESENT},

	plan.FieldIPSAddr: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_NETWORK_HEADER, 12, 4},
		family: unix.NFPROTO_IPV4, prefixes: true},
	plan.FieldIPDAddr: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 4},
		family: unix.NFPROTO_IPV4, prefixes: true},
	plan.FieldIP6SAddr: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 16},
		family: unix.NFPROTO_IPV6, prefixes: true},
	plan.FieldIP6DAddr: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16},
		family: unix.NFPROTO_IPV6, prefixes: true},

	plan.FieldSPort: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2}},
	plan.FieldDPort: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2}},
	plan.FieldICMPType: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1},
		family: unix.NFPROTO_IPV4, proto: unix.IPPROTO_ICMP},
	plan.FieldICMPv6Type: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1},
		family: unix.NFPROTO_IPV6, proto: unix.IPPROTO_ICMPV6},

	plan.FieldDSCP4: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_NETWORK_HEADER, 1, 1}, mask: []byte{0xfc}, shift: 2,
		family: unix.NFPROTO_IPV4},
	plan.FieldDSCP6: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_NETWORK_HEADER, 0, 2}, mask: []byte{0x0f, 0xc0}, shift: 6,
		family: unix.NFPROTO_IPV6},

	plan.FieldEtherSAddr: {kind: fromPayload, place: payload{unix.NFT_PAYLOAD_LL_HEADER, 6, 6}, ether: true},
}

// spansBytes reports whether the bits of the field lie across bytes, so that only a comparison
// under a mask gets at them.
func (s *source) spansBytes() bool { return len(s.mask) > 1 }

// value is a key as the register holds it after load and mask.
func (s *source) value(k plan.Key, width int) []byte {
	switch {
	case s.shift != 0 && len(s.mask) == 1:
		return []byte{k[0] << s.shift}
	case s.shift != 0:
		return binary.BigEndian.AppendUint16(nil, uint16(k[0])<<s.shift)
	case s.hostEndian() && width == 4:
		return binary.NativeEndian.AppendUint32(nil, binary.BigEndian.Uint32(k[:]))
	case s.kind == fromCgroup:
		return binary.NativeEndian.AppendUint64(nil, k.Cgroup())
	}
	return k[:width]
}

// hostEndian reports whether the register holds a number in the machine's byte order.
func (s *source) hostEndian() bool { return s.kind != fromPayload }

// key2plan is the opposite of value. With swapped the register was made big-endian before the
// comparison.
func (s *source) key2plan(v []byte, swapped bool) (k plan.Key) {
	switch {
	case len(v) > len(k):
		return k
	case s.shift != 0 && len(v) == 1:
		return plan.Key{v[0] >> s.shift}
	case s.shift != 0 && len(v) == 2:
		return plan.Key{byte(binary.BigEndian.Uint16(v) >> s.shift)}
	case s.hostEndian() && len(v) == 4 && !swapped && s.numeric():
		return plan.KeyFromUint32(binary.NativeEndian.Uint32(v))
	case s.kind == fromCgroup && len(v) == 8 && !swapped:
		return plan.KeyFromCgroup(binary.NativeEndian.Uint64(v))
	}
	copy(k[:], v)
	return k
}

// numeric reports whether it is a number rather than the name of an interface.
func (s *source) numeric() bool {
	return s.kind != fromMeta || s.key != unix.NFT_META_IIFNAME && s.key != unix.NFT_META_OIFNAME
}

// fieldOf finds the field that an expression loads, given the l4proto that the rule has tested so
// far (0 unknown); ok is false when it loads none.
func fieldOf(x *expr, proto uint8) (f plan.Field, s *source, ok bool) {
	switch x.name {
	case "meta":
		f, ok = fieldsByKey[sourceKey{fromMeta, x.u32(unix.NFTA_META_KEY)}]
		ok = ok && attr(x.data, unix.NFTA_META_DREG) != nil
	case "ct":
		f, ok = fieldsByKey[sourceKey{fromCT, x.u32(unix.NFTA_CT_KEY)}]
		ok = ok && attr(x.data, unix.NFTA_CT_DREG) != nil
	case "fib":
		flags := x.u32(unix.NFTA_FIB_FLAGS)
		f, ok = fieldsByKey[sourceKey{fromFib, flags}]
		ok = ok && x.u32(unix.NFTA_FIB_RESULT) == fibResult(flags)
	case "socket":
		f, ok = fieldsByKey[sourceKey{fromCgroup, x.u32(socketLevel)}]
		ok = ok && x.u32(socketKey) == socketCgroup
	case "payload":
		f, ok = payloadField(x, proto)
	}
	return f, &sources[f], ok
}

// payloadField finds a packet's field. An address may be loaded in part, for a prefix.
func payloadField(x *expr, proto uint8) (plan.Field, bool) {
	at := payload{x.u32(unix.NFTA_PAYLOAD_BASE), x.u32(unix.NFTA_PAYLOAD_OFFSET), x.u32(unix.NFTA_PAYLOAD_LEN)}
	if f, ok := fieldsByPlace[placeKey{at, proto}]; ok {
		return f, true
	}
	if f, ok := fieldsByPlace[placeKey{place: at}]; ok {
		return f, true
	}
	f, ok := prefixFields[payload{at.base, at.offset, 0}]
	return f, ok && at.len > 0 && at.len < sources[f].place.len
}

type sourceKey struct {
	kind sourceKind
	key  uint32
}

type placeKey struct {
	place payload
	proto uint8
}

// The sources by what an expression tells of them.
var (
	fieldsByKey   = map[sourceKey]plan.Field{}
	fieldsByPlace = map[placeKey]plan.Field{}
	prefixFields  = map[payload]plan.Field{}
)

func init() {
	for i, s := range sources {
		f := plan.Field(i)
		if f == 0 {
			continue
		}
		if s.kind != fromPayload {
			fieldsByKey[sourceKey{s.kind, s.key}] = f
			continue
		}
		fieldsByPlace[placeKey{s.place, s.proto}] = f
		if s.prefixes {
			prefixFields[payload{s.place.base, s.place.offset, 0}] = f
		}
	}
}
