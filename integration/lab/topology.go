package lab

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// LANSpec describes one network behind the router. The router has the first address of each prefix.
type LANSpec struct {
	// Name is the host's name, Iface the router's interface.
	Name, Iface string
	V4, V6      netip.Prefix
	// Hosts are the addresses that the host has, both families.
	Hosts []netip.Addr
	// Routed are networks that the router's main table reaches through the host.
	Routed []netip.Prefix
}

// ISPSpec describes one provider and its line to the router.
type ISPSpec struct {
	// Name is the host's name, Iface the router's interface.
	Name, Iface string
	// Router4 and Router6 are the router's addresses with the line's prefix length; either may be
	// invalid.
	Router4, Router6 netip.Prefix
	// Gateway4 and Gateway6 are the provider's addresses on the line.
	Gateway4, Gateway6 netip.Addr
	// Line is what the line is made of.
	Line Line
	// Over names the providers, defined before, that carry a WireGuardLine: each of them reaches
	// VPNEndpoint.
	Over []string
}

// Spec describes a router with what is on both of its sides.
type Spec struct {
	LANs []LANSpec
	ISPs []ISPSpec
	// Silent makes LANs and ISPs take frames and never answer; neighbours are then fixed
	// entries, so that no frame but the test's own is ever seen.
	Silent bool
}

// Net is a running Spec.
type Net struct {
	*Lab
	Spec   Spec
	Router *Host
	// LANs and ISPs are the hosts by name.
	LANs, ISPs map[string]*Host

	// ppp are the sessions that run, by provider.
	ppp map[string]*exec.Cmd
}

// ISP returns a usual line, number 1, 2 or 3: addresses from the documentation networks
// (RFC 5737, RFC 3849), the router being .2, the provider .1.
func ISP(n int) ISPSpec {
	v4 := [...]string{"192.0.2", "198.51.100", "203.0.113"}[n-1]
	return ISPSpec{
		Name: fmt.Sprintf("isp%d", n), Iface: fmt.Sprintf("wan%d", n),
		Router4: netip.MustParsePrefix(v4 + ".2/24"), Gateway4: netip.MustParseAddr(v4 + ".1"),
		Router6:  netip.MustParsePrefix(fmt.Sprintf("2001:db8:f%d::2/64", n)),
		Gateway6: netip.MustParseAddr(fmt.Sprintf("2001:db8:f%d::1", n)),
	}
}

// LAN returns a usual LAN behind an interface: 192.168.n.0/24 and 2001:db8:n::/64 (n written in
// decimal digits), with hosts at .10 and so on.
func LAN(name, iface string, n int, hosts ...int) LANSpec {
	s := LANSpec{
		Name: name, Iface: iface,
		V4: netip.MustParsePrefix(fmt.Sprintf("192.168.%d.0/24", n)),
		V6: netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::/64", n)),
	}
	for _, h := range hosts {
		s.Hosts = append(s.Hosts,
			netip.MustParseAddr(fmt.Sprintf("192.168.%d.%d", n, h)),
			netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::%d", n, h)))
	}
	return s
}

// uplinkEnd is the name of a cable's far end, in the LAN's host and in the provider.
const uplinkEnd = "up0"

// Build makes the hosts and joins them. The router forwards, and has no default route.
func Build(l *Lab, spec Spec) *Net {
	l.t.Helper()
	n := &Net{Lab: l, Spec: spec, Router: l.Host("router"), LANs: map[string]*Host{}, ISPs: map[string]*Host{}, ppp: map[string]*exec.Cmd{}}
	for _, path := range []string{
		"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding",
		// pins' replies must not fail on a routing daemon's settings that are not under test
		"net/ipv4/conf/all/send_redirects", "net/ipv4/conf/default/send_redirects",
		"net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter",
	} {
		value := "0"
		if strings.Contains(path, "forward") {
			value = "1"
		}
		n.Router.Sysctl(path, value)
	}
	for _, s := range spec.LANs {
		n.addLAN(s)
	}
	for _, s := range spec.ISPs {
		n.addISP(s)
	}
	return n
}

func (n *Net) addLAN(s LANSpec) {
	n.t.Helper()
	h := n.Host(s.Name)
	n.LANs[s.Name] = h
	n.Veth(n.Router, s.Iface, h, uplinkEnd)
	var router, host4, host6 []string
	for _, p := range []netip.Prefix{s.V4, s.V6} {
		if !p.IsValid() {
			continue
		}
		gw := p.Addr().Next()
		router = append(router, fmt.Sprintf("addr add %s/%d dev %s", gw, p.Bits(), s.Iface))
		route := fmt.Sprintf("route add default via %s dev %s onlink", gw, uplinkEnd)
		if p.Addr().Is4() {
			host4 = append(host4, route)
		} else {
			host6 = append(host6, route)
		}
	}
	n.Router.IP(router...)
	n.addLANHosts(s, h)
	h.IP(host4...)
	h.IP6(host6...)
	for _, p := range s.Routed {
		via := s.hostOf(p.Addr().Is4())
		n.Router.IP(fmt.Sprintf("route add %s via %s dev %s", p, via, s.Iface))
	}
	if n.Spec.Silent {
		n.silence(h, uplinkEnd, n.Router, s.Iface, s.Hosts...)
	}
}

func (n *Net) addLANHosts(s LANSpec, h *Host) {
	var lines []string
	for _, a := range s.Hosts {
		bits := s.V4.Bits()
		if a.Is6() {
			bits = s.V6.Bits()
		}
		lines = append(lines, fmt.Sprintf("addr add %s/%d dev %s", a, bits, uplinkEnd))
	}
	if len(lines) > 0 {
		h.IP(lines...)
	}
}

// hostOf returns the first host address of a family.
func (s LANSpec) hostOf(is4 bool) netip.Addr {
	for _, a := range s.Hosts {
		if a.Is4() == is4 {
			return a
		}
	}
	return netip.Addr{}
}

func (n *Net) addISP(s ISPSpec) {
	n.t.Helper()
	h := n.Host(s.Name)
	n.ISPs[s.Name] = h
	n.addLine(s, h)
	// A provider plays the whole internet: it has every address, and may speak from any.
	h.Sysctl("net/ipv4/ip_nonlocal_bind", "1")
	h.Sysctl("net/ipv6/ip_nonlocal_bind", "1")
	h.Sysctl("net/ipv4/conf/all/rp_filter", "0")
	h.Sysctl("net/ipv4/conf/default/rp_filter", "0")
	h.IP("route add local 0.0.0.0/0 dev lo table main")
	h.IP6("route add local ::/0 dev lo table main")
	ends := []struct {
		router  netip.Prefix
		gateway netip.Addr
	}{{s.Router4, s.Gateway4}, {s.Router6, s.Gateway6}}
	for _, e := range ends {
		if !e.router.IsValid() {
			continue
		}
		if s.Line != PPPLine || e.gateway.Is6() { // pppd gives out the IPv4 addresses
			n.Router.IP(fmt.Sprintf("addr add %s dev %s", e.router, s.Iface))
			h.IP(fmt.Sprintf("addr add %s/%d dev %s", e.gateway, e.router.Bits(), uplinkEnd))
		}
		n.routeBack(h, s, e.router.Addr())
	}
	if n.Spec.Silent {
		n.silence(h, uplinkEnd, n.Router, s.Iface, s.Gateway4, s.Gateway6)
	}
}

// routeBack lets a provider reach the networks behind the router without NAT.
func (n *Net) routeBack(h *Host, s ISPSpec, router netip.Addr) {
	for _, lan := range n.Spec.LANs {
		for _, p := range append([]netip.Prefix{lan.V4, lan.V6}, lan.Routed...) {
			if !p.IsValid() || p.Addr().Is4() != router.Is4() {
				continue
			}
			via := fmt.Sprintf("via %s dev %s onlink", router, uplinkEnd)
			if s.Line.pointToPoint() {
				via = "dev " + uplinkEnd
			}
			h.IP(fmt.Sprintf("route add %s %s", p, via))
		}
	}
}

// silence makes a host deaf and fixes the router's neighbour entries for its addresses.
// Frames still reach packet sockets, which see them before any hook.
func (n *Net) silence(h *Host, dev string, router *Host, iface string, addrs ...netip.Addr) {
	n.t.Helper()
	h.NFT("table inet deaf { chain deaf_in { type filter hook prerouting priority -400; policy drop; }\n" +
		"chain deaf_out { type filter hook output priority -400; policy drop; }\n}\n")
	mac := h.MAC(dev)
	for _, a := range addrs {
		if a.IsValid() {
			router.IP(fmt.Sprintf("neigh replace %s lladdr %s dev %s nud permanent", a, mac, iface))
		}
	}
}

// MAC returns an interface's address.
func (h *Host) MAC(dev string) string {
	h.lab.t.Helper()
	fields := strings.Fields(h.Run("ip", "-br", "link", "show", "dev", dev))
	if len(fields) < 3 {
		h.lab.t.Fatalf("%s: no MAC address of %s in %q", h.Name, dev, fields)
	}
	return fields[2]
}
