package route

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
	"pbr/kernel/facts"
)

// Survey reads the interfaces and main's default routes.
func (c *Conn) Survey() (*facts.Survey, error) {
	s := &facts.Survey{}
	var err error
	if s.Links, err = c.interfaces(); err != nil {
		return nil, err
	}
	for _, family := range plan.Families {
		routes, err := c.routes(family, plan.MainTable, 0)
		if err != nil {
			return nil, err
		}
		surveyDefaults(s, routes)
	}
	slices.Sort(s.Tunnelled)
	s.Tunnelled = slices.Compact(s.Tunnelled)
	rules, err := c.AllRules()
	if err != nil {
		return nil, err
	}
	tables, err := c.Defaults(rules)
	for _, t := range tables {
		if !reserved(t.ID) && !slices.Contains(s.Tables, t.ID) {
			s.Tables = append(s.Tables, t.ID)
		}
	}
	slices.Sort(s.Tables)
	return s, err
}

// surveyDefaults adds one family's default routes.
func surveyDefaults(s *facts.Survey, routes []liveRoute) {
	before := len(s.Defaults)
	for _, r := range routes {
		if r.Kind != plan.Unicast || !plan.CountsAsDefault(r.Dst) {
			continue
		}
		for _, h := range r.Hops {
			if r.Dst.Bits() > 0 {
				s.Tunnelled = append(s.Tunnelled, h.Dev)
				continue
			}
			s.Defaults = append(s.Defaults, facts.DefaultRoute{Family: r.Family, Dev: h.Dev, Gateway: h.Via, Metric: r.Metric,
				Learned: r.Protocol == unix.RTPROT_DHCP || r.Protocol == unix.RTPROT_RA})
		}
	}
	sorting.Func(s.Defaults[before:], func(a, b facts.DefaultRoute) int { return cmp.Compare(a.Metric, b.Metric) })
}

// interfaces lists all interfaces except the loopback.
func (c *Conn) interfaces() ([]facts.Interface, error) {
	links, addrs, err := c.linksAndAddrs()
	if err != nil {
		return nil, err
	}
	out := []facts.Interface{}
	for _, l := range links {
		if l.flags&unix.IFF_LOOPBACK == 0 && !fallback(l) {
			out = append(out, surveyed(l, links, addrs))
		}
	}
	sorting.Func(out, func(a, b facts.Interface) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// fallbackTunnels are the devices that tunnel modules create in every namespace; nobody uses them
// (ip-sysctl: fb_tunnels_only_for_init_net).
var fallbackTunnels = []string{"tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"}

func fallback(l liveLink) bool {
	return l.flags&unix.IFF_UP == 0 && slices.Contains(fallbackTunnels, l.name)
}

// linkKind is a kind as people read it: the kernel has no name for hardware, and a short one for
// tunnels that a program makes.
func linkKind(kind string) string {
	switch kind {
	case "":
		return "device"
	case "tun":
		return "tuntap"
	}
	return kind
}

func surveyed(l liveLink, links []liveLink, addrs []liveAddr) facts.Interface {
	out := facts.Interface{Name: l.name, Kind: linkKind(l.kind), Up: l.flags&unix.IFF_UP != 0, Carrier: l.flags&unix.IFF_LOWER_UP != 0}
	for _, other := range links {
		switch {
		case other.index == l.master && other.kind != "vrf":
			out.Master = other.name
		case other.kind == "vlan" && other.parent == l.index:
			out.Carries = append(out.Carries, other.name)
		}
	}
	for _, a := range addrs {
		if a.index != l.index || !a.reachesFar() {
			continue
		}
		out.Addresses = append(out.Addresses, a.Prefix)
		out.Leased = out.Leased || a.Addr().Is4() && a.flags&unix.IFA_F_PERMANENT == 0
	}
	slices.Sort(out.Carries)
	sorting.Func(out.Addresses, netip.Prefix.Compare)
	return out
}
