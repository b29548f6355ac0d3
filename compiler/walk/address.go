package walk

import (
	"net/netip"
	"strings"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// address is the one that masquerade and sockets take for packets that leave through an interface:
// in IPv4 that of the gateway's network (inet_select_addr, net/ipv4/devinet.c), or the first.
func (f *fib) address(dev string, via, dst netip.Addr) (first netip.Addr) {
	if dst.Is6() {
		if list := f.sources6(dev, dst); len(list) > 0 {
			return list[0]
		}
		return first
	}
	for _, p := range f.facts.Links[dev].Addrs {
		switch {
		case p.Addr().Is6():
		case via.IsValid() && p.Contains(via):
			return p.Addr()
		case !first.IsValid():
			first = p.Addr()
		}
	}
	return first
}

// sender is the address that a socket gets by a route.
func (f *fib) sender(r *plan.Route, way *Way, dst netip.Addr) netip.Addr {
	if r != nil {
		if _, rest, found := strings.Cut(r.Foreign, "src "); found {
			text, _, _ := strings.Cut(rest, " ")
			if a, err := netip.ParseAddr(text); err == nil {
				return a
			}
		}
	}
	return f.address(way.Dev, way.Via, dst)
}

// candidate is an address that a packet may start from, with what the kernel compares
// (ipv6_get_saddr_eval, net/ipv6/addrconf.c; RFC 6724, 5).
type candidate struct {
	addr           netip.Addr
	outgoing, kind bool
	matching       int
	index          int
}

// sources6 returns the best IPv6 addresses for a destination, those of the outgoing interface
// first; several if it is not known which comes first.
func (f *fib) sources6(dev string, dst netip.Addr) []netip.Addr {
	var best []candidate
	for name, link := range f.facts.Links {
		for _, p := range link.Addrs {
			a := p.Addr()
			if !a.Is6() || a.IsLoopback() || a.IsLinkLocalUnicast() != dst.IsLinkLocalUnicast() {
				continue
			}
			c := candidate{a, name == dev, a.IsPrivate() == dst.IsPrivate(), min(sameBits(a, dst), p.Bits()), link.Index}
			switch order := c.compare(best); {
			case order > 0:
				best = append(best[:0], c)
			case order == 0:
				best = append(best, c)
			}
		}
	}
	out := make([]netip.Addr, len(best))
	for i, c := range best {
		out[i] = c.addr
	}
	sorting.Func(out, netip.Addr.Compare)
	return out
}

// compare is above 0 for a better candidate than those so far, 0 for one that is as good.
func (c *candidate) compare(best []candidate) int {
	if len(best) == 0 {
		return 1
	}
	b := &best[0]
	switch {
	case c.outgoing != b.outgoing:
		return sign(c.outgoing)
	case c.kind != b.kind:
		return sign(c.kind)
	case c.matching != b.matching:
		return c.matching - b.matching
	}
	return b.index - c.index
}

func sign(better bool) int {
	if better {
		return 1
	}
	return -1
}

// sameBits is how many leading bits two addresses share.
func sameBits(a, b netip.Addr) (n int) {
	x, y := a.As16(), b.As16()
	for n < 128 && x[n/8]>>(7-n%8)&1 == y[n/8]>>(7-n%8)&1 {
		n++
	}
	return n
}
