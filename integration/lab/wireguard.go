package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// VPNEndpoint is where the far end of a WireGuard line listens (an address of RFC 2544, the port of
// wg-quick(8)'s examples).
var VPNEndpoint = netip.MustParseAddrPort("198.19.51.1:51820")

// WireGuard joins two hosts by a WireGuard tunnel that carries everything. The first speaks first,
// to the second's endpoint; the way there is not the tunnel's business.
func (l *Lab) WireGuard(ha *Host, a string, hb *Host, b string, endpoint netip.AddrPort) {
	l.t.Helper()
	keyA, keyB := ha.wireGuardKey(), hb.wireGuardKey()
	ha.addWireGuard(a, keyA, hb.wireGuardPublic(keyB), "endpoint", endpoint.String())
	hb.addWireGuard(b, keyB, ha.wireGuardPublic(keyA))
	hb.Run("wg", "set", b, "listen-port", fmt.Sprint(endpoint.Port()))
}

func (h *Host) wireGuardKey() string {
	h.lab.t.Helper()
	return strings.TrimSpace(h.Run("wg", "genkey"))
}

func (h *Host) wireGuardPublic(key string) string {
	h.lab.t.Helper()
	return strings.TrimSpace(h.RunInput(key, "wg", "pubkey"))
}

// addWireGuard makes a WireGuard device with one peer, which all addresses belong to.
func (h *Host) addWireGuard(dev, key, peer string, more ...string) {
	h.lab.t.Helper()
	h.IP(fmt.Sprintf("link add %s type wireguard", dev))
	args := append([]string{"set", dev, "private-key", "/dev/stdin", "peer", peer, "allowed-ips", "0.0.0.0/0,::/0"}, more...)
	h.RunInput(key, "wg", args...)
	h.IP(fmt.Sprintf("link set %s up", dev))
}

// addCarriers gives a provider the address of VPNEndpoint, and cables to the providers that carry
// its line.
func (n *Net) addCarriers(s ISPSpec, h *Host) {
	n.t.Helper()
	h.IP(fmt.Sprintf("addr add %s/32 dev lo", VPNEndpoint.Addr()))
	for i, name := range s.Over {
		carrier, spec := n.ISPs[name], n.specOf(name)
		here, there := "to-"+s.Name, "to-"+name
		n.Veth(carrier, here, h, there)
		carrier.Sysctl("net/ipv4/ip_forward", "1")
		carrier.IP(
			fmt.Sprintf("addr add 198.19.%d.1/30 dev %s", i, here),
			fmt.Sprintf("route add %s/32 via 198.19.%d.2 dev %s", VPNEndpoint.Addr(), i, here),
		)
		h.IP(
			fmt.Sprintf("addr add 198.19.%d.2/30 dev %s", i, there),
			fmt.Sprintf("route add %s via 198.19.%d.1 dev %s", spec.Router4.Masked(), i, there),
		)
	}
}

// specOf returns the description of a provider.
func (n *Net) specOf(isp string) ISPSpec {
	for _, s := range n.Spec.ISPs {
		if s.Name == isp {
			return s
		}
	}
	n.t.Fatalf("there is no provider %s", isp)
	return ISPSpec{}
}
