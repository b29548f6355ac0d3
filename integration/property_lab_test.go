package integration

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/integration/lab"
	"pbr/integration/reference"
)

// fillLists adds the members of lists that are filled at run time. What an earlier policy's list of
// the same name had goes.
func (p *property) fillLists() {
	p.t.Helper()
	for _, l := range p.policy.Lists {
		if !l.RunTime {
			continue
		}
		add := []string{"lists", "add", l.Name}
		for _, m := range l.Members {
			add = append(add, m.String())
		}
		switch {
		case !l.Dynamic:
			p.answered(&l)
		case l.Domains:
			p.router.must("lists", "flush", l.Name)
			p.empty(&l)
		default:
			p.router.must("lists", "flush", l.Name)
		}
		if l.Dynamic && len(l.Members) > 0 {
			p.router.must(add...)
		}
	}
}

// answered puts members into a list of domains, as dnsmasq does.
func (p *property) answered(l *reference.List) {
	p.t.Helper()
	p.empty(l)
	for _, m := range l.Members {
		p.net.Router.Run("nft", "add", "element", "inet", "pbr", plan.ListSet(l.Name, familyOf(m.From)), "{", m.From.String(), "}")
	}
}

// empty takes everything out of a list's sets, whoever put it there.
func (p *property) empty(l *reference.List) {
	p.t.Helper()
	for _, family := range plan.Families {
		p.net.Router.Run("nft", "flush", "set", "inet", "pbr", plan.ListSet(l.Name, family))
	}
}

func familyOf(a netip.Addr) plan.Family {
	if a.Is4() {
		return plan.IPv4
	}
	return plan.IPv6
}

// failSome takes uplinks out of use, in an order, as a failed check would; the router holds the
// policy.
func (p *property) failSome() {
	p.t.Helper()
	last := 0
	for _, u := range p.policy.Uplinks {
		last = max(last, p.host.Down[reference.UplinkVersion{Uplink: u.Name}])
	}
	for _, u := range p.policy.Uplinks {
		down := p.g.IntN(4) == 0
		switch {
		case down && p.host.Down[reference.UplinkVersion{Uplink: u.Name}] == 0:
			last++
			p.router.must("uplink", u.Name, "down")
			for _, v6 := range []bool{false, true} {
				p.host.Down[reference.UplinkVersion{Uplink: u.Name, V6: v6}] = last
			}
		case !down && p.host.Down[reference.UplinkVersion{Uplink: u.Name}] > 0:
			p.router.must("uplink", u.Name, "auto")
			for _, v6 := range []bool{false, true} {
				delete(p.host.Down, reference.UplinkVersion{Uplink: u.Name, V6: v6})
			}
		}
	}
}

// healthOf is what the compiler is reported the uplinks that are down.
func healthOf(down map[reference.UplinkVersion]int) compiler.Health {
	order := map[string]int{}
	for line, n := range down {
		order[line.Uplink] = n
	}
	return compiler.Down(order)
}

// foreignMarks is somebody else's table: it marks what one host sends, outside our bits.
const foreignMarks = `table ip somebody {
	chain pre {
		type filter hook prerouting priority raw; policy accept;
		ip saddr 192.168.10.11 meta mark set 0x00000001
	}
}
`

func propertySpec() lab.Spec {
	lan := lab.LAN("lan", "br-lan", 10, 10, 11, 12, 20)
	lan.Routed = []netip.Prefix{netip.MustParsePrefix("10.50.0.0/16"), netip.MustParsePrefix("2001:db8:50::/48")}
	tun := lab.ISP(3)
	tun.Line, tun.Iface = lab.TunnelLine, "tun0"
	return lab.Spec{
		LANs:   []lab.LANSpec{lan, lab.LAN("guest", "br-guest", 20, 10, 11)},
		ISPs:   []lab.ISPSpec{lab.ISP(1), lab.ISP(2), tun},
		Silent: true,
	}
}

func newProperty(t *testing.T, r *rand.Rand, mainDefault string) *property {
	t.Helper()
	spec := propertySpec()
	n := lab.Build(lab.New(t), spec)
	p := &property{t: t, net: n, router: newRouter(n.Router), wires: n.Wires(), ifaces: map[string]string{}, structures: map[string]int{}}
	world, host := worldOf(spec, mainDefault)
	world.RunTime, world.Domains = true, true
	p.host, host.Down = host, map[reference.UplinkVersion]int{}
	for _, s := range spec.LANs {
		p.ifaces[s.Name] = s.Iface
	}
	for _, s := range spec.ISPs {
		p.ifaces[s.Name] = s.Iface
		p.locals = append(p.locals, s.Router4.Addr(), s.Router6.Addr())
	}
	p.setMain(mainDefault)
	p.g = &reference.Generator{Rand: r, World: world}
	n.Router.NFT(foreignMarks)
	// The packets' TCP sequence numbers are constants.
	n.Router.Sysctl("net/netfilter/nf_conntrack_tcp_be_liberal", "1")
	return p
}

// setMain gives main a static route over the second provider, and default routes, or not.
func (p *property) setMain(mainDefault string) {
	static := netip.MustParsePrefix("198.18.0.0/15")
	p.net.Router.IP("route add 198.18.0.0/15 via 198.51.100.1")
	p.host.Main = append(p.host.Main, reference.MainRoute{Dst: static, Dev: "wan2"})
	if mainDefault == "" {
		return
	}
	p.net.Router.IP("route add default via 192.0.2.1")
	p.net.Router.IP6("route add default via 2001:db8:f1::1")
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		p.host.Main = append(p.host.Main, reference.MainRoute{Dst: netip.MustParsePrefix(all), Dev: "wan1"})
	}
}

func (p *property) wireOf(iface string) *lab.Wire {
	for _, w := range p.wires {
		if w.Iface == iface {
			return w
		}
	}
	p.t.Fatalf("nothing is at the other end of %s", iface)
	return nil
}

func (p *property) isUplink(dev string) bool {
	return strings.HasPrefix(dev, "wan") || strings.HasPrefix(dev, "tun")
}

// isInternet reports whether main has no route to an address but its default one.
func (p *property) isInternet(a netip.Addr) bool {
	for _, prefixes := range p.host.Addrs {
		for _, n := range prefixes {
			if n.Contains(a) {
				return false
			}
		}
	}
	for _, r := range p.host.Main {
		if r.Dst.Bits() > 0 && r.Dst.Contains(a) {
			return false
		}
	}
	return true
}
