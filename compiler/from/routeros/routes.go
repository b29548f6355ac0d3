package routeros

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pbr/compiler/from"
)

// route is one route of the export.
type route struct {
	st    *statement
	table string // empty for main
	dst   netip.Prefix
	six   bool
	hops  []string
	kind  string // "", "blackhole", "unreachable", "prohibit"
	// distance, scope and targetScope have RouterOS's defaults.
	distance, scope, targetScope int
	check                        string
}

// hop is where a gateway leads: out of an interface, perhaps by an address that is asked on the
// way.
type hop struct {
	iface   string
	gateway netip.Addr // invalid for a device route
	// probe is the recursive gateway, which stands for the line behind the real one.
	probe netip.Addr
	// checked reports whether a route on the way is checked.
	check string
}

// defaultDistance, defaultScope and defaultTarget are what an export omits.
const (
	defaultDistance = 1
	defaultScope    = 30
	defaultTarget   = 10
	mostDistance    = 255
)

func (c *config) readRoute(s *statement) {
	r := &route{st: s, six: strings.HasPrefix(s.section, "ipv6"), distance: s.number("distance", defaultDistance),
		scope: s.number("scope", defaultScope), targetScope: s.number("target-scope", defaultTarget), check: s.get("check-gateway")}
	if r.distance > mostDistance {
		s.DropSevere("its distance is above 255: RouterOS does not use it")
		return
	}
	if r.check == "none" {
		r.check = ""
	}
	r.table = strings.TrimSuffix(orElse(s.get("routing-table"), s.get("routing-mark")), "@main")
	if r.table == "main" {
		r.table = ""
	}
	for _, kind := range []string{"blackhole", "unreachable", "prohibit"} {
		if s.has("type", kind) || s.flag(kind) || s.has(kind, "yes") || s.args != nil &&
			slices.ContainsFunc(s.args, func(a arg) bool { return a.key == kind && a.value == "" }) {
			r.kind = kind
		}
	}
	dst := orElse(s.get("dst-address"), map[bool]string{false: "0.0.0.0/0", true: "::/0"}[r.six])
	text, six, ok := addressText(dst)
	if ok && !strings.Contains(text, "/") && !strings.Contains(text, "-") {
		text += map[bool]string{false: "/32", true: "/128"}[six]
	}
	var err error
	if r.dst, err = netip.ParsePrefix(text); err != nil || !ok || six != r.six {
		s.DropSevere("its destination cannot be read")
		return
	}
	if strings.HasPrefix(r.table, "*") {
		s.DropSevere("the routing table " + r.table + " was deleted on the router")
		return
	}
	if s.get("vrf-interface") != "" {
		s.DropSevere("pbr has no VRFs: make the VRF on the system, outside of pbr")
		return
	}
	r.hops = commas(s.get("gateway"))
	c.routes = append(c.routes, r)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (r *route) isDefault() bool { return r.dst.Bits() == 0 }

// resolve finds out where a gateway leads.
func (c *config) resolve(text string, r *route, depth int) (out []hop, why string) {
	text, table, _ := strings.Cut(text, "@")
	if table != "" && table != "main" {
		return nil, fmt.Sprintf("its gateway is looked up in the table or VRF %s, which pbr does not do", table)
	}
	if name, iface, ok := strings.Cut(text, "%"); ok {
		a, err := netip.ParseAddr(name)
		if err != nil || strings.HasPrefix(iface, "*") || iface == "" || !usable(a, r.six) {
			return nil, fmt.Sprintf("its gateway %s cannot be read", text)
		}
		return []hop{{iface: c.iface(iface), gateway: a, check: r.check}}, ""
	}
	a, err := netip.ParseAddr(text)
	switch {
	case text == "":
		return nil, "it names no gateway"
	case strings.HasPrefix(text, "*"):
		return nil, fmt.Sprintf("its gateway %s was deleted on the router", text)
	case err != nil && strings.ContainsAny(text, "<>/"):
		return nil, fmt.Sprintf("its gateway %s cannot be read", text)
	case err != nil:
		return []hop{{iface: c.iface(text), check: r.check}}, ""
	case a.Is6() != r.six:
		return nil, fmt.Sprintf("its gateway %s is of the other IP version", text)
	case !usable(a, r.six):
		return nil, fmt.Sprintf("its gateway %s cannot be a router's address", text)
	}
	if best := c.linkOf(a); best != nil {
		return []hop{{iface: best.iface, gateway: a, check: r.check}}, ""
	}
	return c.recursive(a, r, depth)
}

// usable reports whether an address can be a gateway's.
func usable(a netip.Addr, six bool) bool {
	return a.Is6() == six && a.IsValid() && !a.Is4In6() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() &&
		!a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// linkOf is the longest network on a link that holds an address.
func (c *config) linkOf(a netip.Addr) (best *address) {
	for i := range c.addresses {
		if n := &c.addresses[i]; n.network.Contains(a) && n.addr != a && (best == nil || n.network.Bits() > best.network.Bits()) {
			best = n
		}
	}
	return best
}

// recursive resolves a gateway by the routes of main that lead to it.
func (c *config) recursive(a netip.Addr, r *route, depth int) (out []hop, why string) {
	if depth >= mostHops {
		return nil, "its gateways lead to each other"
	}
	bits, scoped := -1, false
	var via []*route
	for _, o := range c.routes {
		if o.table != "" || o.kind != "" || !o.dst.Contains(a) || o.isDefault() || o == r {
			continue
		}
		if o.scope > r.targetScope {
			scoped = true
			continue
		}
		if o.dst.Bits() > bits {
			bits, via = o.dst.Bits(), nil
		}
		if o.dst.Bits() == bits {
			via = append(via, o)
		}
	}
	for _, o := range via {
		for _, text := range o.hops {
			inner := *o
			inner.check = orElse(r.check, o.check)
			hops, _ := c.resolve(text, &inner, depth+1)
			for _, h := range hops {
				if inner.check != "" && !h.probe.IsValid() { // the nearest one that is no gateway on a link is a real host
					h.probe = a
				}
				out = append(out, h)
			}
		}
	}
	switch {
	case len(out) > 0:
		return out, ""
	case scoped:
		return nil, fmt.Sprintf(
			"its gateway %s is behind a route whose scope is above target-scope=%d: RouterOS does not use it either", a, r.targetScope)
	}
	return nil, fmt.Sprintf("its gateway %s is in no network of /ip address: write GATEWAY%%INTERFACE, or add the address", a)
}

// mostHops bounds recursive gateways.
const mostHops = 8

// line is an uplink in the making.
type line struct {
	*from.Uplink
	st      []*statement
	targets []string
	check   string
	ptp     bool
	gateway [2]netip.Addr
	auto    [2]bool
	carries [2]bool
}

// lines finds the uplinks: interfaces that a default route leaves through, or that a table has a
// route over.
func (c *builder) findLines() {
	for _, cl := range c.clients {
		if cl.adds || cl.st.get("script") != "" {
			c.clientLine(cl)
		}
	}
	for _, r := range c.routes {
		if r.kind == "" && (r.isDefault() || r.table != "" || half(r.dst)) {
			c.routeLines(r)
		}
	}
	for _, r := range c.routes { // tunnels that only some destinations are behind
		if r.kind == "" && r.table == "" && !r.isDefault() {
			c.tunnelLines(r)
		}
	}
}

// half reports whether a prefix is half of everything, which with its other half is a default
// route.
func half(p netip.Prefix) bool { return p.Bits() == 1 }

func (c *builder) clientLine(cl *client) {
	l := c.line(cl.iface, cl.st)
	v := index(cl.six)
	l.carries[v] = true
	if l.ptp = l.ptp || cl.ptp; !cl.ptp {
		l.auto[v] = true
	}
}

func index(six bool) int {
	if six {
		return 1
	}
	return 0
}

// line returns the uplink of an interface, a new one if there is none.
func (c *builder) line(iface string, by *statement) *line {
	l := c.lines[iface]
	if l == nil {
		l = &line{Uplink: &from.Uplink{Interface: iface}}
		c.lines[iface] = l
		c.lineOrder = append(c.lineOrder, l)
	}
	if by != nil && !slices.Contains(l.st, by) {
		l.st = append(l.st, by)
	}
	return l
}

// routeLines makes the uplinks of a route's gateways.
func (c *builder) routeLines(r *route) {
	for _, text := range r.hops {
		hops, why := c.resolve(text, r, 0)
		if why != "" {
			r.st.DropSevere(why)
			continue
		}
		for _, h := range hops {
			if r.table != "" && (c.inhabited[h.iface] && c.lines[h.iface] == nil || !r.isDefault() && c.onLink(h, r)) {
				continue
			}
			l := c.line(h.iface, nil)
			c.useGateway(l, h, r)
			c.useCheck(l, h, r)
			if len(l.st) == 0 {
				l.st = append(l.st, r.st)
			}
		}
	}
}

// onLink reports whether a route of a table repeats a network of main's, as that of a LAN.
func (c *builder) onLink(h hop, r *route) bool {
	if h.gateway.IsValid() {
		return false
	}
	for _, a := range c.addresses {
		if a.iface == h.iface && a.network.Overlaps(r.dst) && a.network.Bits() <= r.dst.Bits() {
			return true
		}
	}
	return false
}

// useGateway gives an uplink its gateway; another one than it has is reported.
func (c *builder) useGateway(l *line, h hop, r *route) {
	v := index(r.six)
	l.carries[v] = true
	switch {
	case !h.gateway.IsValid():
		if !l.auto[v] && !l.gateway[v].IsValid() && !c.learns(h.iface, r.six) {
			l.ptp = true
		} else if !l.gateway[v].IsValid() {
			l.auto[v] = true
		}
	case l.auto[v]:
		r.st.Change(fmt.Sprintf("its gateway is %s there; here the uplink follows what DHCP says (gateway = \"auto\")", h.gateway))
	case l.gateway[v].IsValid() && l.gateway[v] != h.gateway:
		r.st.DropSevere(fmt.Sprintf(
			"interface %s has the gateway %s already, and an uplink has one: give the other one a VLAN or "+
				"macvlan of its own", l.Interface, l.gateway[v]))
	default:
		l.gateway[v] = h.gateway
		for _, a := range c.addresses {
			if a.iface == h.iface && a.network.Contains(h.gateway) && !slices.Contains(l.st, a.st) {
				l.st = append(l.st, a.st)
			}
		}
	}
}

func (c *builder) learns(iface string, six bool) bool {
	return slices.ContainsFunc(c.clients, func(cl *client) bool { return cl.iface == iface && !cl.ptp && cl.six == six })
}

// useCheck makes a route's check its uplink's.
func (c *builder) useCheck(l *line, h hop, r *route) {
	if h.check == "" {
		return
	}
	method := "ping"
	switch h.check {
	case "arp", "bfd":
		method = h.check
	}
	if method != "bfd" && !c.saidCheck {
		c.saidCheck = true
		r.st.Change("check-gateway: RouterOS asks every 10 s and gives up after 2 failures; " +
			"pbr asks every second and gives up after 3 (interval and down-after of check); " +
			"it is the uplink's, for all of its routes")
	}
	switch {
	case h.probe.IsValid():
		if t := h.probe.String(); !slices.Contains(l.targets, t) {
			l.targets = append(l.targets, t)
		}
		method = "ping"
	case !h.gateway.IsValid() && !l.auto[index(r.six)]:
		r.st.Change("check-gateway of an interface without a gateway needs an address to ask: " +
			"add check = { targets = [...] } to the uplink; until then its link is watched")
		return
	}
	l.useMethod(method, r)
}

// useMethod sets how the uplink is checked: by ping if its routes ask for several ways and one has
// targets, which BFD has not.
func (l *line) useMethod(method string, r *route) {
	switch {
	case len(l.targets) > 0 && (method == "bfd" || l.check == "bfd"):
		r.st.Change("an uplink has one check: pings of " + strings.Join(l.targets, ", ") + " are done instead of BFD")
		l.check = "ping"
	case l.check == "" || l.check == "ping":
		l.check = method
	}
}

// tunnelLines makes an uplink of an interface that is a gateway by name for some destinations.
func (c *builder) tunnelLines(r *route) {
	for _, text := range r.hops {
		if _, err := netip.ParseAddr(strings.SplitN(text, "%", 2)[0]); err == nil || strings.ContainsAny(text, "@*<>") || text == "" {
			continue
		}
		h := hop{iface: c.iface(text)}
		if c.hasAddressIn(h.iface) && !c.tunnels[text] {
			continue
		}
		l := c.line(h.iface, nil)
		c.useGateway(l, h, r)
		if len(l.st) == 0 {
			l.st = append(l.st, r.st)
		}
	}
}

// hasAddressIn reports whether the interface is one of a LAN: it has a network with room for
// others.
func (c *builder) hasAddressIn(iface string) bool {
	return slices.ContainsFunc(c.addresses, func(a address) bool { return a.iface == iface && a.network.Bits() < a.addr.BitLen()-2 })
}
