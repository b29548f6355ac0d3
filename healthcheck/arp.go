package healthcheck

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// The operations of ARP (RFC 826).
const (
	arpRequest = 1
	arpReply   = 2
)

// arpLength is the length of a message for Ethernet and IPv4: a head of eight bytes, then MAC and
// IP address of the sender and of the target.
const arpLength = 28

// arpHead is what every such message begins with, up to the operation: hardware Ethernet, protocol
// IPv4, the lengths of their addresses.
var arpHead = [6]byte{0, 1, 0x08, 0x00, 6, 4}

// arpMessage is an ARP message for Ethernet and IPv4. The library for it, mdlayher/arp, has no
// release, and it and what it needs are older than all else here; 28 bytes do not need it.
type arpMessage struct {
	operation            uint16
	senderMAC, targetMAC net.HardwareAddr
	sender, target       netip.Addr
}

// marshal returns the message as it is sent. MAC addresses have six bytes, IP addresses four.
func (m arpMessage) marshal() []byte {
	b := make([]byte, 0, arpLength)
	b = append(b, arpHead[:]...)
	b = binary.BigEndian.AppendUint16(b, m.operation)
	b = append(b, m.senderMAC...)
	b = append(b, m.sender.AsSlice()...)
	b = append(b, m.targetMAC...)
	return append(b, m.target.AsSlice()...)
}

// parseARP reads a message. It reports false for what is no ARP message for Ethernet and IPv4.
// Bytes behind the message are padding: Ethernet's frames have at least 46.
func parseARP(b []byte) (arpMessage, bool) {
	if len(b) < arpLength || [6]byte(b) != arpHead {
		return arpMessage{}, false
	}
	return arpMessage{
		operation: binary.BigEndian.Uint16(b[6:]),
		senderMAC: net.HardwareAddr(b[8:14]), sender: netip.AddrFrom4([4]byte(b[14:])),
		targetMAC: net.HardwareAddr(b[18:24]), target: netip.AddrFrom4([4]byte(b[24:])),
	}, true
}
