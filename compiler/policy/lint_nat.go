package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// lintNoNAT warns of uplinks without nat that private or shared addresses leave through. Only the
// file is known, so it stays with what is probable:
//   - nat = "none" in the file says that it is meant, and silences it; an address translates its own family alone;
//   - a policy or rule that names private sources, on their way to destinations that are not
//     private, is a warning for every uplink that it leads to, tunnels included;
//   - a policy, rule or [default] without src is one only for uplinks with an IPv4 gateway: behind
//     a point-to-point device there is mostly a tunnel whose far end knows the networks here.
func (p *parser) lintNoNAT() {
	n := &natLint{p: p, evidence: make([]string, len(p.doc.Uplinks)), weaker: map[int]string{},
		private: map[string]families{}, public: map[string]bool{}}
	hops := p.cachedHops()
	if d := p.doc.Default; d != nil {
		n.way("[default]", "", nil, nil, p.hops(d))
	}
	for i := range p.doc.Policies {
		if pol := &p.doc.Policies[i]; pol.Forwarded {
			n.way("policy", pol.Name, pol.Src, pol.Dst, hops(pol.Target))
		}
	}
	for i := range p.doc.Rules {
		r := &p.doc.Rules[i]
		n.way("rule", r.Name, r.Src, r.Dst, hops(r.Target))
	}
	for i, evidence := range n.evidence {
		evidence = cmp.Or(evidence, n.weaker[i])
		switch u := &p.doc.Uplinks[i]; {
		case evidence == "":
		case u.NAT.Mode == NATAddress:
			p.warnf(u.NAT.Pos, codeNoNAT, "uplink.nat", hintOtherNAT(u.NAT.Addr),
				"uplink %q has nat for %s alone: %s; replies will probably not come back", u.Name, familyOf(u.NAT.Addr), evidence)
		default:
			p.warnf(u.Pos, codeNoNAT, "uplink.nat", `add nat = "masquerade", or nat = "none" if that is intended`,
				"uplink %q has no nat: %s; replies will probably not come back", u.Name, evidence)
		}
	}
}

// hintOtherNAT says what to do about the IP version that a nat address does not translate.
func hintOtherNAT(addr netip.Addr) string {
	if addr.Is4() {
		return `add nat6 = "masquerade", or nat6 = "none" if IPv6 should leave untranslated`
	}
	return `write nat = "masquerade" and nat6 = "` + addr.String() + `"`
}

// natLint gathers, for each uplink without nat, why it should have one.
type natLint struct {
	p        *parser
	evidence []string
	// weaker counts where there is no other evidence.
	weaker map[int]string
	// private and public say, of lists seen before, which families of private addresses they have,
	// and whether they have others.
	private map[string]families
	public  map[string]bool
}

// way looks at one way into uplinks: kind and name are of what leads there.
func (n *natLint) way(kind, name string, src, dst []AddrItem, hops []hop) {
	if !slices.ContainsFunc(hops, n.asks) || !n.leaves(dst) {
		return
	}
	examples := n.privateSources(src)
	for _, h := range hops {
		if !n.asks(h) {
			continue
		}
		u := &n.p.doc.Uplinks[h.uplink]
		open := u.untranslated()
		label := kind
		if name != "" {
			label += " " + strconv.Quote(name)
		}
		at := slices.IndexFunc(examples, func(x privateSource) bool { return x.families&open != 0 })
		switch {
		case at >= 0:
			n.evidence[h.uplink] = fmt.Sprintf("%s sends it connections of private addresses (%s)", label, examples[at].text)
		case len(src) == 0 && u.Gateway.Present && !u.Gateway.Link && open&only4 != 0:
			n.evidence[h.uplink] = label + " sends it whatever comes, private addresses probably among it"
		case len(src) == 0 && u.NAT.Mode == NATAddress && u.Gateway6.Present && !u.Gateway6.Link && open&only6 != 0:
			n.weaker[h.uplink] = label + " sends it whatever comes, IPv6 among it"
		}
	}
}

// asks reports whether a hop's uplink still has to be judged.
func (n *natLint) asks(h hop) bool {
	return n.p.doc.Uplinks[h.uplink].untranslated() != 0 && n.evidence[h.uplink] == "" &&
		(!h.route.Dst.IsValid() || !isPrivate(h.route.Dst.Addr()))
}

// untranslated returns the families that the uplink carries and does not translate, though nobody
// says that this is meant.
func (u *Uplink) untranslated() (open families) {
	switch {
	case u.NAT.Pos.Line == 0:
		open = u.families()
	case u.NAT.Mode == NATAddress:
		open = u.families() &^ familyOf(u.NAT.Addr)
	}
	if u.NAT6.Pos.Line != 0 {
		open &^= only6
	}
	return open
}

// leaves reports whether dst allows addresses that are not private.
func (n *natLint) leaves(dst []AddrItem) bool {
	positive := false
	for _, item := range dst {
		if item.Not {
			continue
		}
		positive = true
		if item.List == "" && !isPrivate(item.Range.From) || item.List != "" && n.listLeaves(item.List) {
			return true
		}
	}
	return !positive
}

// listLeaves reports whether leaves holds for a list.
func (n *natLint) listLeaves(name string) bool {
	v, ok := n.public[name]
	if !ok {
		l := n.p.list(name)
		v = l.Variable()
		for _, r := range l.Ranges {
			if !isPrivate(r.From) {
				v = true
				break
			}
		}
		n.public[name] = v
	}
	return v
}

// privateSource is an entry of src that names private addresses.
type privateSource struct {
	families families
	text     string
}

// privateSources returns the entries of src that name private addresses.
func (n *natLint) privateSources(src []AddrItem) (out []privateSource) {
	for _, item := range src {
		switch {
		case item.Not:
		case item.List != "":
			if f := n.listPrivate(item.List); f != 0 {
				out = append(out, privateSource{f, "@" + item.List})
			}
		case isPrivate(item.Range.From) || isPrivate(item.Range.To):
			out = append(out, privateSource{familyOf(item.Range.From), item.Range.String()})
		}
	}
	return out
}

// listPrivate returns the families of a list's private addresses.
func (n *natLint) listPrivate(name string) families {
	f, ok := n.private[name]
	if !ok {
		for _, r := range n.p.list(name).Ranges {
			if isPrivate(r.From) || isPrivate(r.To) {
				f |= familyOf(r.From)
			}
		}
		n.private[name] = f
	}
	return f
}

// lintRuleNAT warns of stateless rules towards uplinks that translate addresses: each packet is
// looked up again, so that one connection's packets can leave through two uplinks, with two
// addresses. It does so once for each uplink.
func (p *parser) lintRuleNAT() {
	leading := map[int][]*Rule{} // by the uplink that the rules lead to
	for i := range p.doc.Rules {
		r := &p.doc.Rules[i]
		if r.Target.Kind == ToDefault {
			continue // its answers are unmarked, too
		}
		hops := p.targetHops(r.Target)
		at := slices.IndexFunc(hops, func(h hop) bool {
			u := &p.doc.Uplinks[h.uplink]
			return u.NAT.Mode != NATNone || u.NAT6.Mode != NATNone
		})
		if at >= 0 {
			leading[hops[at].uplink] = append(leading[hops[at].uplink], r)
		}
	}
	for uplink, rules := range leading {
		subject := fmt.Sprintf("rule %q is stateless and leads", rules[0].Name)
		if more := len(rules) - 1; more == 1 {
			subject = fmt.Sprintf("rules %q and %q are stateless and lead", rules[0].Name, rules[1].Name)
		} else if more > 1 {
			subject = fmt.Sprintf("rule %q and %d more are stateless and lead", rules[0].Name, more)
		}
		p.warnf(rules[0].Pos, codeRuleNAT, "rule", "use a [[policy]]: it keeps whole connections on one uplink",
			"%s to uplink %q, which translates addresses: replies, and packets that are not selected, may "+
				"take another way", subject, p.doc.Uplinks[uplink].Name)
	}
}
