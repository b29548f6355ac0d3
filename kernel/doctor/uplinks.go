package doctor

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
)

// uplinks judges the interfaces, addresses and gateways of the policy's uplinks.
func (e *examination) uplinks() {
	e.group = groupUplinks
	if e.Doc != nil {
		for i := range e.Doc.Uplinks {
			e.uplink(&e.Doc.Uplinks[i])
		}
	}
	e.live()
	e.mainDefault()
	e.unknown("interfaces", "bridges")
}

func (e *examination) uplink(u *policy.Uplink) {
	subject := fmt.Sprintf("%s (%s)", u.Name, u.Interface)
	link, exists := e.facts.Host.Links[u.Interface]
	switch bridge := e.facts.Ports[u.Interface]; {
	case !exists:
		e.add(Fail, subject, e.links(), "there is no interface %s", u.Interface)
		return
	case !link.Up:
		e.add(Fail, subject, "ip link set "+u.Interface+" up", "the interface is down")
		return
	case bridge != "":
		e.add(Fail, subject, fmt.Sprintf("write interface = %q", bridge), "the interface is a port of %s: packets arrive on %[1]s", bridge)
		return
	case !link.Carrier:
		e.add(Fail, subject, "check the cable, the modem or the tunnel's far end", "the interface has no carrier")
		return
	}
	before := len(e.out)
	var good []string
	if u.Gateway.Present {
		good = append(good, e.way(subject, u, plan.IPv4, link))
	}
	if u.Gateway6.Present && (!u.Gateway6.Implicit || link.Addressed(plan.IPv6)) { // else nobody asked for IPv6
		good = append(good, e.way(subject, u, plan.IPv6, link))
	}
	e.sourceNAT(subject, u)
	for _, w := range e.facts.Watched {
		if w.Uplink == u.Name && !w.Usable {
			e.unusable(subject, u, w)
		}
	}
	if len(e.out) == before {
		e.ok(subject, "%s", strings.Join(slices.DeleteFunc(good, func(s string) bool { return s == "" }), "; "))
	}
}

// unusable reports an uplink that a running watch does not use, or that the last one or an order
// left unused.
func (e *examination) unusable(subject string, u *policy.Uplink, w facts.Watched) {
	do := "check the line: ping -I " + u.Interface + " TARGET; pbr status shows since when"
	if w.LastFailure == "" {
		do = "pbr uplink " + u.Name + " auto, if it was set to down; pbr status shows details"
	}
	do = cmp.Or(w.Remedy, do)
	text := cmp.Or(w.LastFailure, "set by pbr uplink, or not yet up again")
	if e.facts.State.WatchPID == 0 {
		e.add(Fail, subject, do, "it is not used, as it was last %s: %s", w.State, text)
		return
	}
	e.add(Fail, subject, do, "pbr watch has it %s: %s", w.State, text)
}

// standsBy reports whether another router has an uplink's missing address: a running watch has it
// standby, or, without one, the policy says that it is shared.
func (e *examination) standsBy(u *policy.Uplink) bool {
	if e.facts.State.WatchPID == 0 {
		return u.Standby
	}
	return slices.ContainsFunc(e.facts.Watched, func(w facts.Watched) bool { return w.Uplink == u.Name && w.State == "standby" })
}

// links says what to do about a missing interface, and lists those that exist.
func (e *examination) links() string {
	var names []string
	for name := range e.facts.Host.Links {
		if name != "lo" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if names == nil {
		return "create the interface: this machine has none"
	}
	return "correct interface = (there are " + few(names, ", ") + "), or create the interface"
}

// way judges an uplink's address and gateway of one family, and returns what is good about them.
func (e *examination) way(subject string, u *policy.Uplink, family plan.Family, link plan.Link) string {
	gw := compiler.Gateway(u, family)
	auto, found := link.Gateway(family)
	if family == plan.IPv6 && (e.facts.Host.NoIPv6 || link.NoIPv6) {
		e.add(Fail, subject, fmt.Sprintf("sysctl -w net/ipv6/conf/%s/disable_ipv6=0, or omit gateway6", u.Interface),
			"IPv6 is disabled on the interface")
		return ""
	}
	at := slices.IndexFunc(link.Addrs, func(a netip.Addr) bool { return plan.FamilyOf(a) == family })
	if at < 0 && e.standsBy(u) {
		return fmt.Sprintf("standby: another router of the pair has the IPv%d address", family)
	}
	if at < 0 && (!gw.Link || u.SourceNAT(family == plan.IPv6).Mode == policy.NATMasquerade) {
		e.add(Fail, subject, fmt.Sprintf("give it one: a DHCP client, router advertisements, or ip addr add ADDRESS dev %s", u.Interface),
			"the interface has no IPv%d address to send from", family)
	}
	text := fmt.Sprintf("IPv%d", family)
	if at >= 0 {
		text = link.Addrs[at].String()
	}
	if gw.Auto {
		if !found {
			e.add(Fail, subject, "let a DHCP client or router advertisements add one, or write the gateway into the policy",
				"main has no IPv%d default route through %s to learn the gateway from", family, u.Interface)
			return ""
		}
		gw.Addr = auto
	}
	if auto := unnamedGateway(u, family, link); auto.IsValid() {
		key, _ := gatewayOf(u, family)
		e.add(Warn, subject, unnamedHint(key, auto), "%s", unnamed(u, auto))
	}
	if gw.Link || !gw.Addr.IsValid() {
		return text + ", point-to-point"
	}
	return e.gateway(subject, u, gw.Addr, text)
}

// gateway judges whether a gateway answers.
func (e *examination) gateway(subject string, u *policy.Uplink, addr netip.Addr, text string) string {
	for _, g := range e.facts.Gateways {
		if g.Uplink != u.Name || g.Address != addr.String() {
			continue
		}
		if g.Failure == "" {
			return fmt.Sprintf("%s, gateway %s answers in %s", text, addr, g.RTT.Round(10*time.Microsecond))
		}
		where := ""
		if isStrange(addr, u, &e.facts.Host) {
			where = ", and is in none of this router's networks"
		}
		e.add(Fail, subject, "check the line, and the gateway's address in the policy",
			"gateway %s does not answer%s (%s)", addr, where, g.Failure)
		return ""
	}
	return fmt.Sprintf("%s, gateway %s", text, addr)
}

// sourceNAT warns of private addresses that leave through an uplink untranslated. nat = "none" in
// the file means that this is intended.
func (e *examination) sourceNAT(subject string, u *policy.Uplink) {
	if u.NAT.Mode != policy.NATNone || u.NAT.Pos.Line != 0 || !u.Gateway.Present || u.Gateway.Link || e.isUnknown("nftables of others") {
		return
	}
	for _, n := range e.facts.SourceNAT {
		if n.OIF == "" || plan.NamesInterface(n.OIF, u.Interface) {
			return
		}
	}
	own := e.facts.Host.Links[u.Interface].Addrs
	for _, p := range e.facts.Host.Connected {
		if p.Addr().Is4() && p.Addr().IsPrivate() && !slices.ContainsFunc(own, p.Contains) {
			e.add(Warn, subject, `add nat = "masquerade", or nat = "none" if that is meant`,
				"the private addresses of %s leave untranslated: answers will not come back", p)
			return
		}
	}
}

// mainDefault looks for main's default route, which is used when pbr has none.
func (e *examination) mainDefault() {
	if e.isUnknown("interfaces") {
		return
	}
	for _, l := range e.facts.Host.Links {
		if l.Gateway4.IsValid() || l.OnlinkDefault4 {
			e.ok("main", "has a default route to fall back to")
			return
		}
	}
	const do = "ip route add default via GATEWAY dev INTERFACE metric 1000, or configure it where the interface is configured"
	if e.Doc != nil && e.Doc.Default == nil {
		e.add(Fail, "main", do+", or write [default] into the policy",
			"has no IPv4 default route, and the policy has no [default]: what no policy catches is unreachable")
		return
	}
	e.add(Warn, "main", do, "has no IPv4 default route: without pbr's (after pbr flush) nothing leaves this router")
}
