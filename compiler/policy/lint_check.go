package policy

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
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

// lintQuorum warns of a quorum that one IP version has fewer targets for: it counts within a
// version.
func (p *parser) lintQuorum() {
	for i := range p.doc.Uplinks {
		u := &p.doc.Uplinks[i]
		for _, f := range []families{only4, only6} {
			n := 0
			for _, target := range u.Check.Targets {
				if addr, err := targetAddr(u.Check.Method, target); err == nil && familyOf(addr) == f {
					n++
				}
			}
			if n > 0 && n < u.Check.Quorum {
				p.warnf(u.Check.Pos, codeQuorum, "uplink.check", "name more targets of that version, or lower the quorum",
					"uplink %q: quorum asks for %d answers, and the check has %s for %s: "+
						"quorum counts within an IP version, so all of them have to answer",
					u.Name, u.Check.Quorum, countTargets(n), f)
			}
		}
	}
}

func countTargets(n int) string {
	if n == 1 {
		return "1 target"
	}
	return fmt.Sprintf("%d targets", n)
}

// lintSharedTargets warns of tables whose uplinks all check the same: when that fails, nothing says
// it from dead lines.
func (p *parser) lintSharedTargets() {
	warn := func(t *Table, label, key string) {
		if targets := p.sharedTargets(t); targets != "" {
			p.warnf(t.Pos, codeSharedTargets, key+".routes", "give each uplink a target of its own beside the common ones",
				"%s: all its uplinks check the same and nothing else (%s): when it does not answer, a "+
					"failed link cannot be told from a failed target", label, targets)
		}
	}
	for i := range p.doc.Tables {
		warn(&p.doc.Tables[i], "table \""+p.doc.Tables[i].Name+"\"", "table")
	}
	if p.doc.Default != nil {
		warn(p.doc.Default, "[default]", "default")
	}
}

// sharedTargets are the targets of a table's uplinks, if all of them have the same, and there are
// several uplinks.
func (p *parser) sharedTargets(t *Table) string {
	uplinks, shared := map[string]bool{}, ""
	for _, r := range t.Routes {
		c := p.doc.Uplinks[p.uplinks[r.Uplink]].Check
		targets := strings.Join(slices.Sorted(slices.Values(c.Targets)), ", ")
		if c.Method == CheckNone || targets == "" || shared != "" && shared != targets {
			return ""
		}
		shared = targets
		uplinks[r.Uplink] = true
	}
	if len(uplinks) < 2 {
		return ""
	}
	return shared
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
