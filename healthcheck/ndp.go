package healthcheck

import (
	"net"
	"net/netip"
)

// Neighbour discovery (RFC 4861, 4.3, 4.4 and 4.6.1): messages of 24 bytes and options behind them.
// The library for it, mdlayher/ndp, brings tables for names in Unicode along, 0.2 MB of the
// program; it reads and writes the messages of tests.
const (
	ndpHopLimit      = 255
	ndpSolicitation  = 135
	ndpAdvertisement = 136
	ndpLength        = 24
	ndpSolicited     = 0x40 // of an advertisement's flags: it is the answer to a solicitation
	ndpSourceMAC     = 1    // an option; its length is counted in units of eight bytes
)

// solicitation asks for the neighbour that has an address. The kernel writes the checksum.
func solicitation(target netip.Addr, mac net.HardwareAddr) []byte {
	b := make([]byte, 8, ndpLength+8)
	b[0] = ndpSolicitation
	b = append(b, target.AsSlice()...)
	return append(append(b, ndpSourceMAC, 1), mac...)
}

// parseAdvertisement returns the address that an advertisement is about. It reports false for what
// is no answer to a solicitation.
func parseAdvertisement(b []byte) (target netip.Addr, ok bool) {
	if len(b) < ndpLength || b[0] != ndpAdvertisement || b[1] != 0 || b[4]&ndpSolicited == 0 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte(b[8:])), true
}

// solicitedNode is the multicast group of the neighbours whose addresses end as this one does
// (RFC 4291, 2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	own := a.As16()
	copy(group[13:], own[13:])
	return netip.AddrFrom16(group)
}
