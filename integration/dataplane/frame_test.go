package dataplane

import (
	"net/netip"

	"pbr/integration/lab"
)

// mac is an Ethernet address.
type mac = [6]byte

// Every device of a router has one address, every far end the other, in all networks: so the same
// frames serve all routers.
var (
	routerMAC = mac{2, 0, 0, 0, 0, 1}
	farMAC    = mac{2, 0, 0, 0, 0, 2}
	// nobodysMAC is no device's: the router drops such frames first thing.
	nobodysMAC = mac{2, 0, 0, 0, 0, 9}
)

// The lengths of the frames without padding, as they come out of the router. No MLD report or
// neighbour message is that long, so far ends know by it what to count.
const (
	frame4Len = 14 + 20 + 8 + 12
	frame6Len = 14 + 40 + 8 + 12
	// paddedLen is the length on the way in, in whole words.
	paddedLen = 80
)

// flow is the UDP connection of a test packet.
type flow struct {
	src, dst     netip.Addr
	sport, dport uint16
}

// frame returns the flow's packet as sent to a device.
func (fl flow) frame(to mac) (f [paddedLen]byte) {
	p := lab.Packet{
		SrcMAC: farMAC, DstMAC: to,
		Src: fl.src, Dst: fl.dst, Proto: lab.ProtoUDP, SPort: fl.sport, DPort: fl.dport,
	}
	copy(f[:], p.Frame())
	return f
}

// answer is the flow of the packets that come back; to is where they are sent, the router's address
// if it translates.
func (fl flow) answer(to netip.Addr) flow {
	return flow{src: fl.dst, dst: to, sport: fl.dport, dport: fl.sport}
}
