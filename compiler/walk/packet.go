package walk

import (
	"encoding/binary"
	"net/netip"
	"time"

	"pbr/compiler/ipproto"
	"pbr/compiler/limits"
	"pbr/compiler/plan"
)

// Bits of Packet.CTState (NF_CT_STATE_BIT, linux/netfilter/nf_conntrack_common.h).
const (
	StateInvalid     = 0x1
	StateEstablished = 0x2
	StateRelated     = 0x4
	StateNew         = 0x8
	StateUntracked   = 0x40
)

// StatusConfirmed is the bit of Packet.CTStatus of a connection whose first packet has left
// (IPS_CONFIRMED, same file).
const StatusConfirmed = 0x8

// Packet is what rules can read of one packet. The IP version is that of Src.
type Packet struct {
	// IIF and OIF are the interfaces that it arrived on and leaves through, empty where it has none
	// yet.
	IIF, OIF string
	Src, Dst netip.Addr
	Proto    uint8
	// SPort and DPort are the first four bytes of the transport header, whatever the protocol; of
	// ICMP the first one is ICMPType.
	SPort, DPort uint16
	ICMPType     uint8
	// NoPorts means that there are no such four bytes: matches on ports do not hold, look-ups by
	// ports end the rule.
	NoPorts bool
	// AnySPort and AnyDPort mean that the port is not known: what is hashed over it may be
	// anything.
	AnySPort, AnyDPort bool
	// Reply means that the packet is of its connection's second direction. OrigDPort is the
	// destination port that the connection's first packet had on arrival.
	Reply     bool
	OrigDPort uint16
	// DSCP is the code point, 0..63.
	DSCP uint8
	// MAC is the sender's Ethernet address, if the packet came by Ethernet.
	MAC      [6]byte
	Ethernet bool
	// UID and GID are the user and the group of the socket, if the router itself sends the packet,
	// as HasUID tells.
	UID, GID uint32
	HasUID   bool
	// Priority is that of the socket, or by the type of service.
	Priority uint32
	// CTState and CTStatus are bits of the connection; an invalid or untracked packet has neither
	// status nor mark.
	CTState, CTStatus uint32
	// Time is when the packet comes; the zero time is not known, and in no window. InWindow, if not
	// nil, says instead whether it is in a set's windows.
	Time     time.Time
	InWindow func(set string) bool
	// Cgroups are the inode numbers of the control groups that the socket is in, from level 1 on,
	// if the router itself sends the packet; 0 for none. InCgroup, if not nil, says instead whether
	// it is in one of a set's.
	Cgroups      [limits.CgroupLevels]uint64
	InCgroup     func(set string) bool
	Mark, CTMark uint32
	// Fib answers "fib ... type" by RTN_* numbers (linux/rtnetlink.h), and whether there is a route
	// by 1 or 0; nil is unicast, and 1, for everything.
	Fib func(f plan.Field) uint32
}

// addrUnicast is RTN_UNICAST (linux/rtnetlink.h).
const addrUnicast = 1

// num is a key as a number of 128 bits, the order of plan.Key.
type num struct{ hi, lo uint64 }

func numOf(k *plan.Key) num {
	return num{binary.BigEndian.Uint64(k[:]), binary.BigEndian.Uint64(k[8:])}
}

func (n num) less(o num) bool { return n.hi < o.hi || n.hi == o.hi && n.lo < o.lo }

// within reports whether n is one of from..to.
func (n num) within(from, to num) bool { return !n.less(from) && !to.less(n) }

// num32, num16 and num8 are numbers of that many bits as keys.
func num32(v uint32) num { return num{hi: uint64(v) << 32} }
func num16(v uint16) num { return num{hi: uint64(v) << 48} }
func num8(v uint8) num   { return num{hi: uint64(v) << 56} }

// uint32 is the number in a key of 4 bytes.
func (n num) uint32() uint32 { return uint32(n.hi >> 32) }

// bytes is the key itself.
func (n num) key() (k plan.Key) {
	binary.BigEndian.PutUint64(k[:], n.hi)
	binary.BigEndian.PutUint64(k[8:], n.lo)
	return k
}

// load reads a field of the packet; ok is false if the packet has none.
func (w *Walker) load(f plan.Field) (n num, ok bool) {
	p := w.packet
	switch f {
	case plan.FieldIIFName:
		return name(p.IIF), true
	case plan.FieldOIFName:
		return name(p.OIF), true
	case plan.FieldNFProto:
		if w.six {
			return num8(ipproto.NFIPv6), true
		}
		return num8(ipproto.NFIPv4), true
	case plan.FieldL4Proto:
		return num8(p.Proto), true
	case plan.FieldIPSAddr:
		return w.src, !w.six
	case plan.FieldIPDAddr:
		return w.dst, !w.six
	case plan.FieldIP6SAddr:
		return w.src, w.six
	case plan.FieldIP6DAddr:
		return w.dst, w.six
	case plan.FieldSPort, plan.FieldDPort, plan.FieldICMPType, plan.FieldICMPv6Type:
		return w.loadTransport(f)
	case plan.FieldDSCP4:
		return num8(p.DSCP), !w.six
	case plan.FieldDSCP6:
		return num8(p.DSCP), w.six
	case plan.FieldEtherSAddr:
		k := plan.KeyFromMAC(p.MAC)
		return numOf(&k), p.Ethernet
	case plan.FieldSKUID:
		return num32(p.UID), p.HasUID
	case plan.FieldSKGID:
		return num32(p.GID), p.HasUID
	case plan.FieldMark:
		return num32(w.result.Mark), true
	case plan.FieldTime:
		return num{hi: uint64(p.Time.UnixNano())}, !p.Time.IsZero()
	case plan.FieldPriority:
		return num32(p.Priority), true
	}
	if level := f.CgroupLevel(); level > 0 {
		return num{hi: p.Cgroups[level-1]}, p.HasUID && p.Cgroups[level-1] != 0
	}
	return w.loadConnection(f)
}

func (w *Walker) loadTransport(f plan.Field) (n num, ok bool) {
	p := w.packet
	switch {
	case p.NoPorts:
		return n, false
	case f == plan.FieldICMPType:
		return num8(p.ICMPType), p.Proto == ipproto.ICMP
	case f == plan.FieldICMPv6Type:
		return num8(p.ICMPType), p.Proto == ipproto.ICMPv6
	case f == plan.FieldDPort:
		return num16(p.DPort), true
	case ipproto.IsICMP(p.Proto):
		return num16(uint16(p.ICMPType)<<8 | p.SPort&0xff), true
	}
	return num16(p.SPort), true
}

func (w *Walker) loadConnection(f plan.Field) (n num, ok bool) {
	p := w.packet
	switch f {
	case plan.FieldCTState:
		return num32(p.CTState), true
	case plan.FieldCTStatus:
		return num32(p.CTStatus), p.tracked()
	case plan.FieldCTMark:
		return num32(w.result.CTMark), p.tracked()
	case plan.FieldCTDirection:
		return num8(direction[p.Reply]), p.tracked()
	case plan.FieldCTOrigDPort:
		return num16(p.originalPort()), p.tracked()
	}
	if p.Fib == nil {
		if w.fib != nil {
			return num32(w.fib.answer(w, f)), true
		}
		return num32(addrUnicast), true
	}
	return num32(p.Fib(f)), true
}

// direction is a connection's direction as the kernel has it (IP_CT_DIR_*,
// linux/netfilter/nf_conntrack_tuple_common.h).
var direction = map[bool]uint8{false: 0, true: 1}

// originalPort is the destination port of the connection's first packet: this one's, or the one
// that it answers from, where nothing else is known.
func (p *Packet) originalPort() uint16 {
	switch {
	case p.OrigDPort != 0:
		return p.OrigDPort
	case p.Reply:
		return p.SPort
	}
	return p.DPort
}

// tracked reports whether the packet belongs to a connection.
func (p *Packet) tracked() bool { return p.CTState&(StateInvalid|StateUntracked) == 0 }

func name(s string) num {
	k := plan.KeyFromString(s)
	return numOf(&k)
}

// address is an IP address as a key.
func address(a netip.Addr) num {
	k := plan.KeyFromAddr(a)
	return numOf(&k)
}
