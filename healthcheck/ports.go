package healthcheck

import (
	"net"
	"net/netip"
	"slices"

	"pbr/compiler/ipproto"
)

// portsKept is how many source ports of an uplink's last probes are remembered: connection tracking
// keeps the connections of a few minutes.
const portsKept = 256

// Port is the source port of a probe. Proto is an IP protocol.
type Port struct {
	Proto  uint8  `json:"proto"`
	Number uint16 `json:"port"`
}

// notePort remembers the source port of a probe's connection.
func (p *SocketProber) notePort(uplink string, conn net.Conn) {
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return
	}
	one := Port{ipproto.TCP, local.Port()}
	if conn.LocalAddr().Network() == "udp" {
		one.Proto = ipproto.UDP
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.ports[uplink]
	if len(list) == portsKept {
		list = slices.Delete(list, 0, portsKept/2)
	}
	p.ports[uplink] = append(list, one)
}

// Ports returns the source ports of the last probes by TCP, DNS and HTTP, by uplink: of those that
// were connected.
func (p *SocketProber) Ports() map[string][]Port {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string][]Port, len(p.ports))
	for uplink, list := range p.ports {
		out[uplink] = slices.Clone(list)
	}
	return out
}
