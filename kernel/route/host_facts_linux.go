package route

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// unusable are the flags of addresses that packets cannot be sent from. A deprecated address
// (preferred_lft 0, as keepalived sets it) is usable.
const unusable = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED

// HostFacts reads what a compiler needs to know of the current network namespace, and which of the
// gateways the kernel refuses.
func (c *Conn) HostFacts(gateways []plan.NextHop) (plan.HostFacts, error) {
	m := plan.HostFacts{Known: true, Links: map[string]plan.Link{}}
	if _, err := os.Stat("/proc/sys/net/ipv6"); os.IsNotExist(err) {
		m.NoIPv6 = true
	}
	var err error
	// FRA_DSCP (linux/fib_rules.h).
	if m.DSCPRules, err = KernelAtLeast(6, 13); err != nil {
		return plan.HostFacts{}, err
	}
	links, addrs, err := c.linksAndAddrs()
	if err != nil {
		return plan.HostFacts{}, err
	}
	addLinks(&m, links, addrs)
	c.watchGateways(gateways)
	refusals := newRefusals(gateways, links)
	refusals.addBroadcasts(&m, addrs)
	for _, family := range plan.Families {
		routes, err := c.routes(family, plan.MainTable, 0)
		if err != nil {
			return plan.HostFacts{}, err
		}
		addDefaults(&m, family, routes)
		addConnected(&m, routes)
		if family == plan.IPv6 {
			refusals.addMisrouted(&m, routes)
		}
	}
	m.Connected = sorted(m.Connected)
	for name, link := range m.Links {
		link.Networks = sorted(link.Networks)
		m.Links[name] = link
	}
	return m, nil
}

// sorted returns networks sorted and without duplicates.
func sorted(networks []netip.Prefix) []netip.Prefix {
	sorting.Func(networks, netip.Prefix.Compare)
	return slices.Compact(networks)
}

// addLinks fills in Links, except for what comes from routes.
func addLinks(m *plan.HostFacts, links []liveLink, addrs []liveAddr) {
	for _, l := range links {
		link := plan.Link{
			Up: l.flags&unix.IFF_UP != 0, Carrier: l.flags&unix.IFF_LOWER_UP != 0, NoIPv6: m.NoIPv6 || ipv6Disabled(l.name),
			Loopback: l.flags&unix.IFF_LOOPBACK != 0, Port: l.master != 0, Below: below(l, links),
		}
		for _, a := range addrs {
			if a.index != l.index || !a.reachesFar() {
				continue
			}
			if a.flags&unusable == 0 {
				link.Addrs = append(link.Addrs, a.Addr())
			}
			link.Tentative6 = link.Tentative6 || a.flags&unusable == unix.IFA_F_TENTATIVE && a.Addr().Is6()
		}
		sorting.Func(link.Addrs, netip.Addr.Compare)
		m.Links[l.name] = link
	}
}

// below lists the interfaces that carry a bridge's or a VLAN's frames.
func below(l liveLink, links []liveLink) (names []string) {
	for _, other := range links {
		if l.kind == "bridge" && other.master == l.index || l.kind == "vlan" && other.index == l.parent {
			names = append(names, other.name)
		}
	}
	slices.Sort(names)
	return names
}

// ipv6Disabled reports whether a link has no IPv6: by its setting, or because the kernel gives it
// none (then the setting does not exist), as with an MTU below 1280 (RFC 8200, 5).
func ipv6Disabled(link string) bool {
	v, err := ReadSysctl("net/ipv6/conf/" + link + "/disable_ipv6")
	return errors.Is(err, fs.ErrNotExist) || err == nil && v != "0"
}

// addDefaults fills in the best default route over each interface: whole routes before half routes,
// then the lowest metric, then the first listed.
func addDefaults(m *plan.HostFacts, family plan.Family, routes []liveRoute) {
	type rank struct {
		bits   int
		metric uint32
	}
	best := map[string]rank{}
	for _, r := range routes {
		if !plan.CountsAsDefault(r.Dst) || r.Kind != plan.Unicast {
			continue
		}
		for _, h := range r.Hops {
			link, ok := m.Links[h.Dev]
			if b, seen := best[h.Dev]; !ok || seen && cmp.Or(cmp.Compare(b.bits, r.Dst.Bits()), cmp.Compare(b.metric, r.Metric)) <= 0 {
				continue
			}
			best[h.Dev] = rank{r.Dst.Bits(), r.Metric}
			if family == plan.IPv4 {
				link.Gateway4, link.OnlinkDefault4 = h.Via, !h.Via.IsValid()
			} else {
				link.Gateway6, link.OnlinkDefault6 = h.Via, !h.Via.IsValid()
			}
			m.Links[h.Dev] = link
		}
	}
}

// addConnected fills in the networks that main reaches without a gateway. IPv4 shows that by the
// scope; IPv6 has none, so there it is what the kernel created for an address or a router
// advertisement.
func addConnected(m *plan.HostFacts, routes []liveRoute) {
	for _, r := range routes {
		if r.connected() {
			m.Connected = append(m.Connected, r.Dst)
			for _, h := range r.Hops {
				if link, ok := m.Links[h.Dev]; ok {
					link.Networks = append(link.Networks, r.Dst)
					m.Links[h.Dev] = link
				}
			}
		}
	}
}

// connected reports whether the route leads to a connected network.
func (r *liveRoute) connected() bool {
	if r.Kind != plan.Unicast || r.Dst.Bits() == 0 || r.Dst.Addr().IsLoopback() || linkLocal.Contains(r.Dst.Addr()) ||
		multicast.Contains(r.Dst.Addr()) || slices.ContainsFunc(r.Hops, func(h plan.Hop) bool { return h.Via.IsValid() }) {
		return false
	}
	return r.Family == plan.IPv4 && r.scope == unix.RT_SCOPE_LINK || r.Family == plan.IPv6 && r.Protocol == unix.RTPROT_KERNEL
}

// KernelAtLeast reports whether the running kernel is of this version or later.
func KernelAtLeast(major, minor int) (bool, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false, fmt.Errorf("asking for the kernel's version: %w", err)
	}
	return releaseAtLeast(unix.ByteSliceToString(u.Release[:]), major, minor), nil
}

// releaseAtLeast reports whether the first two numbers of a release such as "6.1.0-13-amd64" are at
// least these; a release that cannot be read counts as old.
func releaseAtLeast(release string, major, minor int) bool {
	first, rest, _ := strings.Cut(release, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	x, err1 := strconv.Atoi(first)
	y, err2 := strconv.Atoi(rest[:end])
	return err1 == nil && err2 == nil && (x > major || x == major && y >= minor)
}
