package route

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// refusals finds the gateways that the kernel takes in no route.
type refusals struct {
	hops []plan.NextHop
	// links are the interfaces by name, but for those in a VRF: there the kernel looks gateways up
	// in its table.
	links map[string]liveLink
}

// watchGateways has a Watcher report changes of main that may decide about these gateways.
func (c *Conn) watchGateways(gateways []plan.NextHop) {
	var list []netip.Addr
	for _, h := range gateways {
		if mainDecides(h.Via) {
			list = append(list, h.Via)
		}
	}
	if len(list) > 0 {
		c.gateways.Store(&list)
	}
}

// mainDecides reports whether the kernel looks a gateway up in main.
func mainDecides(gateway netip.Addr) bool { return gateway.Is6() && !gateway.IsLinkLocalUnicast() }

func newRefusals(gateways []plan.NextHop, links []liveLink) *refusals {
	r := &refusals{hops: gateways, links: map[string]liveLink{}}
	vrfs := map[uint32]bool{}
	for _, l := range links {
		vrfs[l.index] = l.kind == "vrf"
	}
	for _, l := range links {
		if !vrfs[l.master] {
			r.links[l.name] = l
		}
	}
	return r
}

// addBroadcasts adds IPv4 gateways that are broadcast addresses of the router's networks: the
// kernel wants unicast ones (fib_check_nh_v4_gw, net/ipv4/fib_semantics.c).
func (r *refusals) addBroadcasts(m *plan.HostFacts, addrs []liveAddr) {
	up := map[uint32]string{}
	for _, l := range r.links {
		if l.flags&unix.IFF_UP != 0 {
			up[l.index] = l.name
		}
	}
	for _, h := range r.hops {
		if _, here := r.links[h.Dev]; !here {
			continue
		}
		at := slices.IndexFunc(addrs, func(a liveAddr) bool { return up[a.index] != "" && a.broadcasts(h.Via) })
		if at >= 0 {
			addRefusal(m, plan.Refusal{NextHop: h, Dst: addrs[at].Masked(), Through: up[addrs[at].index]})
		}
	}
}

// broadcasts reports whether an address is the broadcast address of a's network (fib_add_ifaddr,
// net/ipv4/fib_frontend.c).
func (a *liveAddr) broadcasts(addr netip.Addr) bool {
	if !a.Addr().Is4() || !addr.Is4() {
		return false
	}
	return addr == a.broadcast || a.Bits() < 31 && a.Contains(addr) && !a.Masked().Contains(addr.Next())
}

// addMisrouted adds IPv6 gateways that main's best route leads to through another interface, unless
// it is a default route (ip6_route_check_nh_onlink, net/ipv6/route.c). Gateways that main has for
// interfaces are examined, too.
func (r *refusals) addMisrouted(m *plan.HostFacts, routes []liveRoute) {
	hops := slices.Clone(r.hops)
	for name, link := range m.Links {
		if own := (plan.NextHop{Dev: name, Via: link.Gateway6}); !slices.Contains(hops, own) {
			hops = append(hops, own)
		}
	}
	hops = slices.DeleteFunc(hops, func(h plan.NextHop) bool {
		_, here := r.links[h.Dev]
		return !here || !mainDecides(h.Via)
	})
	if len(hops) == 0 {
		return
	}
	best := make([][]*liveRoute, len(hops))
	for i := range routes {
		for j, h := range hops {
			best[j] = better(best[j], &routes[i], h.Via)
		}
	}
	for j, h := range hops {
		if through := elsewhere(best[j], h.Dev); through != "" {
			addRefusal(m, plan.Refusal{NextHop: h, Dst: best[j][0].Dst, Through: through})
		}
	}
}

// better returns the best routes to an address, with one more route considered: those of the
// longest prefix, and of these those of the lowest metric.
func better(best []*liveRoute, r *liveRoute, to netip.Addr) []*liveRoute {
	if !r.Dst.Contains(to) || r.msg[2] != 0 { // -- only for packets from somewhere
		return best
	}
	if len(best) > 0 {
		switch c := cmp.Or(cmp.Compare(r.Dst.Bits(), best[0].Dst.Bits()), cmp.Compare(best[0].Metric, r.Metric)); {
		case c < 0:
			return best
		case c == 0:
			return append(best, r)
		}
	}
	return []*liveRoute{r}
}

// elsewhere returns the interface that the best routes to a gateway lead through instead of dev;
// empty if the kernel does not mind.
func elsewhere(best []*liveRoute, dev string) (through string) {
	for _, r := range best {
		if r.Kind != plan.Unicast || r.Dst.Addr().IsUnspecified() || r.Uses(dev) || len(r.Hops) == 0 {
			return ""
		}
		through = r.Hops[0].Dev
	}
	return through
}

// addRefusal adds a refusal in its place; all are in order, so that equal facts are equal.
func addRefusal(m *plan.HostFacts, r plan.Refusal) {
	if m.Refusal(r.Dev, r.Via) != nil {
		return
	}
	m.Refused = append(m.Refused, r)
	sorting.Func(m.Refused, func(a, b plan.Refusal) int { return cmp.Or(strings.Compare(a.Dev, b.Dev), a.Via.Compare(b.Via)) })
}
