package doctor

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/compiler/sorting"
	"pbr/kernel/facts"
)

// Ports of DNS that nobody on the way can read (RFC 7858, RFC 9250, RFC 8484).
const (
	portTLS   = 853
	portHTTPS = 443
)

// overHTTPS are public resolvers that answer DNS over HTTPS at addresses that are for nothing else:
// Cloudflare (with those of Chrome and Firefox), Google, Quad9, OpenDNS and AdGuard, as they
// publish them. Others are not told from web servers.
var overHTTPS = []netip.Prefix{
	netip.MustParsePrefix("1.1.1.0/29"), netip.MustParsePrefix("1.0.0.0/29"), netip.MustParsePrefix("162.159.61.3/32"),
	netip.MustParsePrefix("162.159.61.4/32"),
	netip.MustParsePrefix("172.64.41.3/32"), netip.MustParsePrefix("172.64.41.4/32"), netip.MustParsePrefix("2606:4700:4700::/48"),
	netip.MustParsePrefix("8.8.8.8/32"), netip.MustParsePrefix("8.8.4.4/32"), netip.MustParsePrefix("2001:4860:4860::/48"),
	netip.MustParsePrefix("9.9.9.8/29"), netip.MustParsePrefix("149.112.112.8/29"),
	netip.MustParsePrefix("149.112.112.112/32"), netip.MustParsePrefix("2620:fe::/48"),
	netip.MustParsePrefix("208.67.220.0/22"), netip.MustParsePrefix("2620:119:35::/48"), netip.MustParsePrefix("2620:119:53::/48"),
	netip.MustParsePrefix("94.140.14.0/23"), netip.MustParsePrefix("2a10:50c0::/32"),
}

// Connection is what opened a connection, and to what.
type Connection struct {
	Client, Server netip.Addr
	Port           uint16
}

// ClientDNS looks through connections for hosts of the networks behind a router, those beside
// uplinks, that have some to elsewhere, and for servers that they ask by DNS that cannot be read.
func ClientDNS(connections iter.Seq[Connection], doc *policy.Document, host plan.HostFacts) (n facts.Names) {
	type server struct {
		addr netip.Addr
		port uint16
	}
	inside, own := insideOf(doc, host)
	clients, hidden := map[netip.Addr]bool{}, map[server]map[netip.Addr]bool{}
	for c := range connections {
		if own[c.Client] || own[c.Server] || !contains(inside, c.Client) || contains(host.Connected, c.Server) {
			continue
		}
		clients[c.Client] = true
		if c.Port != portTLS && (c.Port != portHTTPS || !contains(overHTTPS, c.Server)) {
			continue
		}
		to := server{c.Server, c.Port}
		if hidden[to] == nil {
			hidden[to] = map[netip.Addr]bool{}
		}
		hidden[to][c.Client] = true
	}
	n.Clients = len(clients)
	for to, hosts := range hidden {
		h := facts.HiddenDNS{Server: to.addr, Port: to.port, Clients: len(hosts)}
		for client := range hosts {
			if !h.Client.IsValid() || client.Less(h.Client) {
				h.Client = client
			}
		}
		n.Hidden = append(n.Hidden, h)
	}
	sorting.Func(n.Hidden, func(a, b facts.HiddenDNS) int { return cmp.Or(a.Server.Compare(b.Server), cmp.Compare(a.Port, b.Port)) })
	return n
}

// insideOf are the networks at interfaces that are no uplinks, and the router's own addresses.
func insideOf(doc *policy.Document, host plan.HostFacts) (inside []netip.Prefix, own map[netip.Addr]bool) {
	own = map[netip.Addr]bool{}
	for name, link := range host.Links {
		for _, a := range link.Addrs {
			own[a] = true
		}
		if !link.Loopback && !slices.ContainsFunc(doc.Uplinks, func(u policy.Uplink) bool { return u.Interface == name }) {
			inside = append(inside, link.Networks...)
		}
	}
	return inside, own
}

func contains(nets []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
}
