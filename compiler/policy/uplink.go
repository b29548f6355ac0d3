package policy

import (
	"fmt"
	"net/netip"
)

// uplink reads one [[uplink]].
func (p *parser) uplink(s *section) {
	u := Uplink{Pos: s.pos()}
	var pos Pos
	u.Name, pos = s.objectName("uplink", "isp1")
	if u.Name != "" {
		s.notReserved(u.Name, pos)
		if first, ok := p.uplinks[u.Name]; ok {
			s.taken(u.Name, pos, "uplink", p.doc.Uplinks[first].Pos)
		} else {
			p.uplinks[u.Name] = len(p.doc.Uplinks)
		}
	}
	u.CommonKeys = s.commonKeys()
	p.uplinkInterface(s, &u)
	u.Gateway = s.gateway("gateway", only4)
	u.Gateway6 = s.gateway("gateway6", only6)
	if s.fields.Get("gateway") == nil && s.fields.Get("gateway6") == nil { // point-to-point
		u.Gateway = Gateway{Pos: u.Pos, Present: true, Link: true, Implicit: true}
		u.Gateway6 = u.Gateway
	}
	u.Check = p.uplinkCheck(s, &u)
	u.NAT, u.NAT6 = s.nat("nat", &u), s.nat("nat6", &u)
	if u.NAT.Mode == NATAddress && u.NAT.Addr.Is6() && u.NAT6.Pos.Line != 0 {
		s.errorAt(u.NAT6.Pos, codeConflict, "nat6", "give nat an IPv4 address, or leave nat6 out",
			"nat says what IPv6 is translated to already: %s", u.NAT.Addr)
	}
	s.quota(&u.Quota)
	u.Standby = s.boolean("standby", false)
	p.doc.Uplinks = append(p.doc.Uplinks, u)
}

// uplinkInterface reads an uplink's interface, which is that of no other uplink that is in use.
func (p *parser) uplinkInterface(s *section, u *Uplink) {
	u.Interface, u.InterfacePos = s.required("interface", "eth1")
	if u.InterfacePos.Line == 0 {
		return
	}
	if f := checkInterface(u.Interface); f != nil {
		s.fault(u.InterfacePos, "interface", f)
		return
	}
	switch {
	case u.Interface == "all" || u.Interface == "default":
		s.errorAt(u.InterfacePos, codeBadValue, "interface", "give the interface another name (ip link set dev NAME name OTHER)",
			"invalid interface %q: below /proc/sys/net it stands for several interfaces", u.Interface)
	case u.Interface == "lo" || u.Interface == "local":
		s.errorAt(u.InterfacePos, codeBadValue, "interface", "name the interface that packets leave through",
			"invalid interface %q: packets cannot leave through it", u.Interface)
	case u.Interface[len(u.Interface)-1] == '*':
		s.errorAt(u.InterfacePos, codeBadValue, "interface", "write one [[uplink]] per interface",
			`invalid interface %q: an uplink has one interface, and this is a pattern`, u.Interface)
	}
	for i := range p.doc.Uplinks {
		if o := &p.doc.Uplinks[i]; o.Interface == u.Interface && !o.Disabled && !u.Disabled {
			s.errorAt(u.InterfacePos, codeInterface, "interface", "give one of them a VLAN or a macvlan interface of its own",
				"interface %q is that of uplink %q at line %d: packets that arrive could not be told apart",
				u.Interface, o.Name, o.Pos.Line)
			return
		}
	}
}

// gateway reads the next hop of one family: an address, "auto" or "link".
func (s *section) gateway(key string, fam families) Gateway {
	v, pos := s.str(key)
	g := Gateway{Pos: pos, Present: s.fields.Get(key) != nil}
	switch {
	case pos.Line == 0:
		return g
	case v == "auto":
		g.Auto = true
		return g
	case v == "link":
		g.Link = true
		return g
	}
	a, f := parseAddr(v)
	if f != nil {
		if near := suggest(v, []string{"auto", "link"}); near[:3] == "did" {
			f.hint = near
		} else if f.hint == addressHint("") || f.hint == "" {
			f.hint = `write the router's address, "auto" or "link"`
		}
		s.fault(pos, key, f)
		return g
	}
	if familyOf(a) != fam {
		other := map[string]string{"gateway": "gateway6", "gateway6": "gateway"}[key]
		s.errorAt(pos, codeBadValue, key, fmt.Sprintf("write %s = %q", other, v),
			"invalid %s %q: %s is for %s, and this is an %s address", key, v, key, fam, familyOf(a))
		return g
	}
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == allIPv4.To {
		s.errorAt(pos, codeBadValue, key, "", "invalid %s %q: no router can have this address", key, v)
	}
	g.Addr = a
	return g
}

// nat reads an uplink's source NAT: nat, or nat6.
func (s *section) nat(key string, u *Uplink) NAT {
	v, pos := s.str(key)
	n := NAT{Pos: pos}
	switch {
	case pos.Line == 0 || v == "none":
		return n
	case v == "masquerade":
		n.Mode = NATMasquerade
		return n
	}
	a, f := parseAddr(v)
	if f != nil {
		f.hint = suggest(v, []string{"none", "masquerade"})
		if near := f.hint; near[:3] != "did" {
			f.hint = `write "none", "masquerade" or the address to translate to`
		}
		s.fault(pos, key, f)
		return n
	}
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		s.errorAt(pos, codeBadValue, key, "", "invalid %s %q: packets cannot have this source address", key, v)
	}
	switch {
	case key == "nat6" && a.Is4():
		s.errorAt(pos, codeBadValue, key, fmt.Sprintf("write nat = %q", v),
			"invalid nat6 %q: nat6 is for IPv6, and this is an IPv4 address", v)
	case familyOf(a)&u.families() == 0:
		s.errorAt(pos, codeConflict, key, "", "%s to %s, and the uplink carries only %s", key, v, u.families())
	}
	n.Mode, n.Addr = NATAddress, a
	return n
}

// families returns the IP versions that the uplink carries.
func (u *Uplink) families() families {
	var f families
	if u.Gateway.Present {
		f |= only4
	}
	if u.Gateway6.Present {
		f |= only6
	}
	return f
}

// isPrivate reports whether an address means nothing on the Internet: RFC 1918, RFC 6598 (shared,
// carrier-grade NAT), RFC 4193 (unique local).
func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || sharedSpace.Contains(a)
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
