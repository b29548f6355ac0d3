package plan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// maxIfname is the longest interface name in bytes (IFNAMSIZ 16 less the final NUL, linux/if.h).
const maxIfname = 15

// typeInfo has, by Type, nft's name of the type and its width in bytes.
var typeInfo = [...]struct {
	name  string
	width int
}{
	TypeIfname:      {"ifname", 16},
	TypeIPv4:        {"ipv4_addr", 4},
	TypeIPv6:        {"ipv6_addr", 16},
	TypePort:        {"inet_service", 2},
	TypeProto:       {"inet_proto", 1},
	TypeMark:        {"mark", 4},
	TypeEther:       {"ether_addr", 6},
	TypeUID:         {"uid", 4},
	TypeICMPType:    {"icmp_type", 1},
	TypeICMPv6Type:  {"icmpv6_type", 1},
	TypeDSCP:        {"dscp", 1},
	TypeNFProto:     {"nf_proto", 1},
	TypeCTState:     {"ct_state", 4},
	TypeCTStatus:    {"ct_status", 4},
	TypeFibAddrType: {"fib_addrtype", 4},
	TypeNumber:      {"integer", 4},
	TypePresence:    {"boolean", 4},
	TypeClass:       {"classid", 4},
	TypeCTDir:       {"ct_dir", 1},
	TypeGID:         {"gid", 4},
	TypeTime:        {"time", 8},
	TypeCgroup:      {"cgroupsv2", 8},
}

// Width is the number of bytes of a Key of type t; 0 for a type that does not exist.
func (t Type) Width() int {
	if int(t) >= len(typeInfo) {
		return 0
	}
	return typeInfo[t].width
}

// String is nft's name of the type.
func (t Type) String() string {
	if t.Width() == 0 {
		return fmt.Sprintf("type(%d)", uint8(t))
	}
	return typeInfo[t].name
}

// fieldTypes has the type of each field's value.
var fieldTypes = [...]Type{
	FieldIIFName:         TypeIfname,
	FieldOIFName:         TypeIfname,
	FieldNFProto:         TypeNFProto,
	FieldL4Proto:         TypeProto,
	FieldIPSAddr:         TypeIPv4,
	FieldIPDAddr:         TypeIPv4,
	FieldIP6SAddr:        TypeIPv6,
	FieldIP6DAddr:        TypeIPv6,
	FieldSPort:           TypePort,
	FieldDPort:           TypePort,
	FieldICMPType:        TypeICMPType,
	FieldICMPv6Type:      TypeICMPv6Type,
	FieldDSCP4:           TypeDSCP,
	FieldDSCP6:           TypeDSCP,
	FieldEtherSAddr:      TypeEther,
	FieldSKUID:           TypeUID,
	FieldMark:            TypeMark,
	FieldCTMark:          TypeMark,
	FieldCTState:         TypeCTState,
	FieldCTStatus:        TypeCTStatus,
	FieldFibSAddrType:    TypeFibAddrType,
	FieldFibDAddrType:    TypeFibAddrType,
	FieldFibSAddrOIFType: TypeFibAddrType,
	FieldFibSAddrBack:    TypePresence,
	FieldPriority:        TypeClass,
	FieldCTDirection:     TypeCTDir,
	FieldCTOrigDPort:     TypePort,
	FieldSKGID:           TypeGID,
	FieldTime:            TypeTime,
	FieldCgroup1:         TypeCgroup,
	FieldCgroup2:         TypeCgroup,
	FieldCgroup3:         TypeCgroup,
	FieldCgroup4:         TypeCgroup,
	FieldCgroup5:         TypeCgroup,
	FieldCgroup6:         TypeCgroup,
	FieldCgroup7:         TypeCgroup,
	FieldCgroup8:         TypeCgroup,
}

// Type is the type of the field's value; 0 for a field that does not exist.
func (f Field) Type() Type {
	if int(f) >= len(fieldTypes) {
		return 0
	}
	return fieldTypes[f]
}

// KeyFromAddr returns an address as a key: 4 bytes for IPv4 (also when mapped into IPv6), 16 for
// IPv6. An invalid address gives the zero Key. A zone is omitted.
func KeyFromAddr(a netip.Addr) (k Key) {
	copy(k[:], a.Unmap().AsSlice())
	return k
}

// KeyFromUint32 returns a mark, uid or other value of a type of 4 bytes.
func KeyFromUint32(v uint32) (k Key) {
	binary.BigEndian.PutUint32(k[:], v)
	return k
}

// KeyFromUint16 returns a port.
func KeyFromUint16(v uint16) (k Key) {
	binary.BigEndian.PutUint16(k[:], v)
	return k
}

// KeyFromUint8 returns a protocol, ICMP type or other value of one byte.
func KeyFromUint8(v uint8) Key { return Key{v} }

// KeyFromUint returns v as a key of type t, of a width of 1, 2 or 4 bytes. It gives
// the zero Key for other widths; bits that the width has no room for are lost.
func KeyFromUint(t Type, v uint32) Key {
	switch t.Width() {
	case 1:
		return KeyFromUint8(uint8(v))
	case 2:
		return KeyFromUint16(uint16(v))
	case 4:
		return KeyFromUint32(v)
	}
	return Key{}
}

// KeyFromString returns an interface name; bytes past the fifteenth, which no interface has, are
// cut.
func KeyFromString(name string) (k Key) {
	copy(k[:maxIfname], name)
	return k
}

// KeyFromCgroup returns a control group's inode number as a key of TypeCgroup.
func KeyFromCgroup(inode uint64) (k Key) {
	binary.BigEndian.PutUint64(k[:], inode)
	return k
}

// Cgroup returns the inode number in a key of TypeCgroup.
func (k Key) Cgroup() uint64 { return binary.BigEndian.Uint64(k[:]) }

// KeyFromSeconds returns a time, in seconds since 1970, as a key of TypeTime.
func KeyFromSeconds(s int64) (k Key) {
	binary.BigEndian.PutUint64(k[:], uint64(s)*uint64(time.Second))
	return k
}

// Seconds returns the time in a key of TypeTime, in seconds since 1970.
func (k Key) Seconds() uint64 { return binary.BigEndian.Uint64(k[:]) / uint64(time.Second) }

// KeyFromMAC returns an Ethernet address.
func KeyFromMAC(mac [6]byte) (k Key) {
	copy(k[:], mac[:])
	return k
}

// Addr returns the address in a key of TypeIPv4 or TypeIPv6, and an invalid one for other types.
func (k Key) Addr(t Type) netip.Addr {
	switch t {
	case TypeIPv4:
		return netip.AddrFrom4([4]byte(k[:4]))
	case TypeIPv6:
		return netip.AddrFrom16(k)
	}
	return netip.Addr{}
}

// Uint returns the number in a key of a type of 1, 2 or 4 bytes, and 0 for other types.
func (k Key) Uint(t Type) uint32 {
	switch t.Width() {
	case 1:
		return uint32(k[0])
	case 2:
		return uint32(binary.BigEndian.Uint16(k[:]))
	case 4:
		return binary.BigEndian.Uint32(k[:])
	}
	return 0
}

// Text returns the interface name in a key, up to its first zero byte.
func (k Key) Text() string {
	name, _, _ := bytes.Cut(k[:], []byte{0})
	return string(name)
}

// MAC returns the Ethernet address in a key.
func (k Key) MAC() [6]byte { return [6]byte(k[:6]) }

// Compare orders keys of one type as numbers: -1, 0 or 1.
func (k Key) Compare(o Key) int { return bytes.Compare(k[:], o[:]) }

// Next returns the key one above k among those of type t; ok is false at the highest one.
// An inclusive interval From..To is From..To.Next() to the kernel, which leaves the end out.
func (k Key) Next(t Type) (next Key, ok bool) {
	for i := t.Width() - 1; i >= 0; i-- {
		k[i]++
		if k[i] != 0 {
			return k, true
		}
	}
	return Key{}, false
}

// Prev returns the key one below k among those of type t; ok is false at zero.
func (k Key) Prev(t Type) (prev Key, ok bool) {
	for i := t.Width() - 1; i >= 0; i-- {
		k[i]--
		if k[i] != 0xff {
			return k, true
		}
	}
	return Key{}, false
}

// PrefixMask returns the netmask of the first n bits of an address of type t.
func PrefixMask(t Type, n int) (k Key) {
	for i := range min(n, 8*t.Width()) {
		k[i/8] |= 0x80 >> (i % 8)
	}
	return k
}

// And returns the bits that are set in both.
func (k Key) And(mask Key) Key {
	for i := range k {
		k[i] &= mask[i]
	}
	return k
}

// MaxKey returns the highest key of type t, all ones.
func MaxKey(t Type) (k Key) {
	for i := range t.Width() {
		k[i] = 0xff
	}
	return k
}
