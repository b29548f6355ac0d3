package plan

import (
	"fmt"
	"net/netip"
)

// NextHop is a gateway behind an interface.
type NextHop struct {
	Dev string
	Via netip.Addr
}

// Refusal is a next hop that the kernel takes in no route, although it is "onlink".
type Refusal struct {
	NextHop
	// Dst is the network that it finds the gateway in, Through the interface that leads there. An
	// IPv4 gateway is the broadcast address of Dst; to an IPv6 gateway main leads through Through
	// instead of Dev.
	Dst     netip.Prefix
	Through string
}

// Reason says why the kernel refuses it, and what makes it acceptable.
func (r Refusal) Reason() string {
	if r.Via.Is4() {
		return fmt.Sprintf("the kernel refuses gateway %s: it is the broadcast address of %s, the network of %s", r.Via, r.Dst, r.Through)
	}
	return fmt.Sprintf("the kernel refuses gateway %s on %s, because main routes %s through %s: ip -6 route add %s dev %s",
		r.Via, r.Dev, r.Dst, r.Through, r.Via, r.Dev)
}

// Refusal returns why the kernel takes no route over a gateway behind an interface; nil if it takes
// them, or nothing is known of the machine.
func (m *HostFacts) Refusal(dev string, via netip.Addr) *Refusal {
	for i := range m.Refused {
		if r := &m.Refused[i]; r.NextHop == (NextHop{dev, via}) {
			return r
		}
	}
	return nil
}
