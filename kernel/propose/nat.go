package propose

import (
	"fmt"
	"slices"

	"pbr/compiler/from"
	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

// nat writes an uplink's translation of source addresses, and why.
func (p *proposal) nat(w *writer, u *uplink) {
	if table := named(p.survey.Fixed, u.link.Name); table != "" {
		w.say(fmt.Sprintf("Table %s translates to a fixed address here. With nat = \"none\" pbr leaves that to it; "+
			"\"masquerade\" would come before it.", table))
		w.key("nat", `"none"`)
		if u.route6 != nil && !p.prefixHolder(u) {
			w.key("nat6", `"masquerade"`)
		}
		return
	}
	if table := named(p.survey.SourceNAT, u.link.Name); table != "" {
		w.say(fmt.Sprintf("Table %s translates here already. pbr comes before it, so that rule has no "+
			"effect while pbr is in force.", table))
	}
	private4, public4, _, _ := p.insideAddresses()
	if public4 && !private4 {
		w.say("The networks inside have public addresses.")
		w.key("nat", `"none"`)
		return
	}
	w.key("nat", `"masquerade"`)
	if p.prefixHolder(u) {
		w.say("Hosts inside have global IPv6 addresses, presumably from this line. On other lines they have to be translated.")
		w.key("nat6", `"none"`)
	}
}

// prefixHolder reports whether the global IPv6 addresses of hosts inside are presumably from this
// line.
func (p *proposal) prefixHolder(u *uplink) bool {
	_, _, ula, global6 := p.insideAddresses()
	return u.route6 != nil && global6 && !ula && u == p.first6()
}

// named returns the table of a rule that names the interface.
func named(rules []facts.SourceNAT, dev string) string {
	for _, r := range rules {
		if r.OIF != "*" && plan.NamesInterface(r.OIF, dev) {
			return from.Printable(r.Table)
		}
	}
	return ""
}

// insideAddresses reports which kinds of addresses the networks inside have.
func (p *proposal) insideAddresses() (private4, public4, ula, global6 bool) {
	for _, l := range p.inside(roleInside, roleContainers) {
		for _, a := range l.Addresses {
			is4, isPrivate := a.Addr().Is4(), private(a.Addr())
			private4 = private4 || is4 && isPrivate
			public4 = public4 || is4 && !isPrivate
			ula = ula || !is4 && isPrivate
			global6 = global6 || !is4 && !isPrivate
		}
	}
	return private4, public4, ula, global6
}

// first6 is the first uplink that carries IPv6, nil if none does.
func (p *proposal) first6() *uplink {
	at := slices.IndexFunc(p.uplinks, func(u *uplink) bool { return u.route6 != nil })
	if at < 0 {
		return nil
	}
	return p.uplinks[at]
}
