package route

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
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
	sorting.StableFunc(s.Defaults[before:], func(a, b facts.DefaultRoute) int { return cmp.Compare(a.Metric, b.Metric) })
}

// interfaces lists all interfaces except the loopback.
func (c *Conn) interfaces() ([]facts.Interface, error) {
	links, err := untilWhole(c.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	addrs, err := untilWhole(func() ([]netlink.Addr, error) { return c.handle.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	out := []facts.Interface{}
	for _, l := range links {
		if l.Attrs().RawFlags&unix.IFF_LOOPBACK == 0 && !fallback(l) {
			out = append(out, surveyed(l, links, addrs))
		}
	}
	sorting.Func(out, func(a, b facts.Interface) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// fallbackTunnels are the devices that tunnel modules create in every namespace; nobody uses them
// (ip-sysctl: fb_tunnels_only_for_init_net).
var fallbackTunnels = []string{"tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"}

func fallback(l netlink.Link) bool {
	return l.Attrs().RawFlags&unix.IFF_UP == 0 && slices.Contains(fallbackTunnels, l.Attrs().Name)
}

func surveyed(l netlink.Link, links []netlink.Link, addrs []netlink.Addr) facts.Interface {
	a := l.Attrs()
	out := facts.Interface{Name: a.Name, Kind: l.Type(), Up: a.RawFlags&unix.IFF_UP != 0, Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0}
	for _, other := range links {
		switch o := other.Attrs(); {
		case o.Index == a.MasterIndex && other.Type() != "vrf":
			out.Master = o.Name
		case other.Type() == "vlan" && o.ParentIndex == a.Index:
			out.Carries = append(out.Carries, o.Name)
		}
	}
	for _, addr := range addrs {
		ip, ok := netip.AddrFromSlice(addr.IP)
		if ip = ip.Unmap(); !ok || addr.LinkIndex != a.Index || addr.Scope >= unix.RT_SCOPE_LINK ||
			ip.IsLinkLocalUnicast() || ip.IsLoopback() {
			continue
		}
		ones, _ := addr.Mask.Size()
		out.Addresses = append(out.Addresses, netip.PrefixFrom(ip, ones))
		out.Leased = out.Leased || ip.Is4() && addr.Flags&unix.IFA_F_PERMANENT == 0
	}
	slices.Sort(out.Carries)
	sorting.Func(out.Addresses, netip.Prefix.Compare)
	return out
}
