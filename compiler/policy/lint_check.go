package policy

import (
	"net/netip"
	"net/url"
)

// lintGatewayCheck warns of checks that ask the gateway alone: it answers also when the line
// behind it is dead.
func (p *parser) lintGatewayCheck() {
	for i := range p.doc.Uplinks {
		u := &p.doc.Uplinks[i]
		if c := &u.Check; c.Pos.Line != 0 && (c.Method == CheckPing || c.Method == CheckARP) && len(c.Targets) == 0 {
			p.warnf(c.Pos, codeGatewayCheck, "uplink.check", `check = { method = "ping", targets = ["8.8.8.8", "9.9.9.9"] } sees further`,
				"uplink %q: a check of the gateway sees only the first link: a line that is dead behind it counts as up", u.Name)
		}
	}
}

// lintCheckFamily warns of an uplink of both IP versions, named by their gateways, whose check asks by one of them only: its
// verdict counts for both.
func (p *parser) lintCheckFamily() {
	for i := range p.doc.Uplinks {
		u := &p.doc.Uplinks[i]
		if u.families() != both || u.Gateway.Link && u.Gateway6.Link || len(u.Check.Targets) == 0 {
			continue
		}
		var asked families
		for _, target := range u.Check.Targets {
			asked |= targetFamilies(u.Check.Method, target)
		}
		if asked != both {
			p.warnf(u.Check.Pos, codeOneFamily, "uplink.check", "add targets of the other version; with quorum = the number of targets both have to answer",
				"uplink %q: its check asks by %s only, and its verdict counts for both IP versions", u.Name, asked)
		}
	}
}

// targetFamilies returns the IP versions that a check may ask a target by; what is no address may have both.
func targetFamilies(method CheckMethod, target string) families {
	addr, err := targetAddr(method, target)
	if err != nil {
		return both
	}
	return familyOf(addr)
}

// targetAddr reads the address of a target.
func targetAddr(method CheckMethod, target string) (netip.Addr, error) {
	if method == CheckHTTP {
		u, err := url.Parse(target)
		if err != nil {
			return netip.Addr{}, err
		}
		target = u.Hostname()
	}
	if ap, err := netip.ParseAddrPort(target); err == nil {
		return ap.Addr(), nil
	}
	return netip.ParseAddr(target)
}
