package policy

import (
	"fmt"
	"slices"
	"strconv"
)

// lintNoNAT warns of uplinks without nat that private or shared addresses leave by. Only the file
// is known, so it stays with what is probable:
//   - nat = "none" in the file says that it is meant, and silences it;
//   - a policy or rule that names private sources, on their way to destinations that are not
//     private, is a warning for every uplink that it leads to, tunnels included;
//   - a policy, rule or [default] without src is one only for uplinks with an IPv4 gateway: behind
//     a point-to-point device there is mostly a tunnel whose far end knows the networks here.
func (p *parser) lintNoNAT() {
	n := &natLint{p: p, evidence: make([]string, len(p.doc.Uplinks)), private: map[string]families{}, public: map[string]bool{}}
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
		if u := &p.doc.Uplinks[i]; evidence != "" {
			p.warnf(u.Pos, codeNoNAT, "uplink.nat", `add nat = "masquerade", or nat = "none" if that is meant`,
				"uplink %q has no nat: %s; replies will probably not come back", u.Name, evidence)
		}
	}
}

// natLint gathers, for each uplink without nat, why it should have one.
type natLint struct {
	p        *parser
	evidence []string
	// private and public say, of lists seen before, which families of private addresses they have, and
	// whether they have others.
	private map[string]families
	public  map[string]bool
}

// way looks at one way into uplinks: kind and name are of what leads there.
func (n *natLint) way(kind, name string, src, dst []AddrItem, hops []hop) {
	if !slices.ContainsFunc(hops, n.asks) || !n.leaves(dst) {
		return
	}
	fam, example := n.privateSources(src)
	for _, h := range hops {
		u := &n.p.doc.Uplinks[h.uplink]
		if !n.asks(h) {
			continue
		}
		label := kind
		if name != "" {
			label += " " + strconv.Quote(name)
		}
		switch {
		case fam&u.families() != 0:
			n.evidence[h.uplink] = fmt.Sprintf("%s sends it connections of private addresses (%s)", label, example)
		case len(src) == 0 && u.Gateway.Present && !u.Gateway.Link:
			n.evidence[h.uplink] = label + " sends it whatever comes, private addresses probably among it"
		}
	}
}

// asks tells whether a hop's uplink still has to be judged.
func (n *natLint) asks(h hop) bool {
	return n.p.doc.Uplinks[h.uplink].NAT.Pos.Line == 0 && n.evidence[h.uplink] == "" &&
		(!h.route.Dst.IsValid() || !isPrivate(h.route.Dst.Addr()))
}

// leaves tells whether dst allows addresses that are not private.
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

// listLeaves is leaves for a list.
func (n *natLint) listLeaves(name string) bool {
	v, ok := n.public[name]
	if !ok {
		l := n.p.list(name)
		v = len(l.Domains) > 0
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

// privateSources returns the families of private addresses that src names, and one entry.
func (n *natLint) privateSources(src []AddrItem) (fam families, example string) {
	for _, item := range src {
		var f families
		shown := ""
		switch {
		case item.Not:
		case item.List != "":
			f, shown = n.listPrivate(item.List), "@"+item.List
		case isPrivate(item.Range.From) || isPrivate(item.Range.To):
			f = familyOf(item.Range.From)
		}
		if f != 0 && example == "" {
			if example = shown; shown == "" {
				example = item.Range.String()
			}
		}
		fam |= f
	}
	return fam, example
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
// looked up anew, so that one connection's packets can leave by two uplinks, with two addresses.
func (p *parser) lintRuleNAT() {
	for i := range p.doc.Rules {
		r := &p.doc.Rules[i]
		for _, h := range p.targetHops(r.Target) {
			if u := &p.doc.Uplinks[h.uplink]; u.NAT.Mode != NATNone {
				p.warnf(r.Pos, codeRuleNAT, "rule", "use a [[policy]]: it keeps whole connections on one uplink",
					"rule %q is stateless and leads to uplink %q, which translates addresses: replies, and packets that the rule does not select, may take another way",
					r.Name, u.Name)
				break
			}
		}
	}
}
