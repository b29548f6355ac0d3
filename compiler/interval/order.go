package interval

import (
	"cmp"
	"encoding/binary"
	"net/netip"
)

// Addrs is the order of addresses: IPv4 before IPv6, of which none follows the last of the other.
type Addrs struct{}

func (Addrs) Compare(a, b netip.Addr) int { return a.Compare(b) }

func (Addrs) Next(a netip.Addr) (netip.Addr, bool) {
	a = a.Next()
	return a, a.IsValid()
}

func (Addrs) Prev(a netip.Addr) (netip.Addr, bool) {
	a = a.Prev()
	return a, a.IsValid()
}

// Numbers is the order of 0 to 4294967295: of ports, user IDs, marks.
type Numbers struct{}

func (Numbers) Compare(a, b uint32) int      { return cmp.Compare(a, b) }
func (Numbers) Next(n uint32) (uint32, bool) { return n + 1, n < ^uint32(0) }
func (Numbers) Prev(n uint32) (uint32, bool) { return n - 1, n > 0 }

// LastAddr returns the last address of a prefix.
func LastAddr(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|uint32(uint64(1)<<(32-p.Bits())-1))
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	for i := p.Bits() / 8; i < len(b); i++ {
		b[i] |= 0xff >> max(0, p.Bits()-8*i)
	}
	return netip.AddrFrom16(b)
}
