package dataplane

import (
	"encoding/binary"
	"net/netip"
)

// family is an IP version.
type family int

const (
	v4 family = iota
	v6
)

func (f family) String() string { return [...]string{"IPv4", "IPv6"}[f] }

// selector is what one policy, or one hand-made rule, picks. Invalid prefixes and port 0 mean any.
type selector struct {
	src, dst [2]netip.Prefix // by family
	dport    uint16          // of UDP
}

// The networks that selectors and packets come from. All clients are behind one next hop in the
// LAN.
var (
	hosts     = [2]netip.Addr{netip.MustParseAddr("10.64.0.0"), netip.MustParseAddr("fd00:64::")}
	services  = [2]netip.Addr{netip.MustParseAddr("172.16.0.0"), netip.MustParseAddr("2001:db8:5000::")}
	strangers = [2]netip.Addr{netip.MustParseAddr("10.32.0.0"), netip.MustParseAddr("fd00:32::")}
	internet  = [2]netip.Addr{netip.MustParseAddr("198.18.0.0"), netip.MustParseAddr("2001:db8:1800::")}
)

const (
	netSize = 16   // addresses of a selected network
	anyPort = 9    // in no selector
	ports   = 1000 // how many there are in selectors, from firstPort on
	// firstPort of the selectors.
	firstPort = 5000
)

// selectors makes n of them in the order in which people write them: exceptions first, then
// services of hosts, hosts, networks of hosts, and destinations. Each group overlaps with others
// (the same hosts, networks that contain them, destinations that any host may want), none is
// covered by another.
func selectors(n int) []selector {
	list := make([]selector, n)
	var count [10]int
	for i := range list {
		tenth := i * 10 / n
		group := [10]int{0, 0, 1, 1, 2, 2, 2, 3, 4, 4}[tenth]
		k := count[group]
		count[group]++
		s := &list[i]
		for f := range s.src {
			host, network := plus(hosts[f], k), plus(hosts[f], k*netSize)
			service := plus(services[f], k*netSize)
			switch group {
			case 0:
				s.src[f], s.dst[f] = netip.PrefixFrom(host, host.BitLen()), netip.PrefixFrom(service, service.BitLen()-4)
			case 1, 2:
				s.src[f] = netip.PrefixFrom(host, host.BitLen())
			case 3:
				s.src[f] = netip.PrefixFrom(network, network.BitLen()-4)
			case 4:
				s.dst[f] = netip.PrefixFrom(service, service.BitLen()-4)
			}
		}
		if group <= 1 {
			s.dport = uint16(firstPort + k%ports)
		}
	}
	return list
}

// matching returns a flow that the selector picks; k tells such flows apart.
func (s *selector) matching(f family, k int) flow {
	fl := stranger(f, k)
	if s.src[f].IsValid() {
		fl.src = s.src[f].Addr()
	}
	if s.dst[f].IsValid() {
		fl.dst = s.dst[f].Addr()
	}
	if s.dport != 0 {
		fl.dport = s.dport
	}
	return fl
}

// stranger returns a flow that no selector picks; no two have the same source port.
func stranger(f family, k int) flow {
	return flow{src: plus(strangers[f], 1+k), dst: plus(internet[f], 1+k%1024), sport: uint16(1024 + k), dport: anyPort}
}

// plus adds to the low 32 bits of an address, which must have room.
func plus(a netip.Addr, n int) netip.Addr {
	b := a.AsSlice()
	low := b[len(b)-4:]
	binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)+uint32(n))
	sum, _ := netip.AddrFromSlice(b)
	return sum
}
