package reference

import (
	"net/netip"
	"slices"
)

// Evaluator answers for one policy on one machine.
type Evaluator struct {
	Policy *Policy
	Host   *Host
}

// First returns the ways that the first packet of a connection may take: one, or several
// where gateways share the load.
func (e Evaluator) First(k Packet) []Way {
	if e.own(k.Dst) || e.spoofed(k) {
		return []Way{{}}
	}
	if !k.Local() {
		return e.onward(k, e.route(k, e.classify(k)))
	}
	// A sender asks for a route before there is a packet: without one nothing is sent. Only then
	// is the packet classified.
	if k.Src.IsValid() {
		return e.fromAddress(k)
	}
	var ways []Way
	for _, dev := range e.route(k, nil) {
		sent := k
		switch {
		case dev == "" && k.Dst.Is6():
			// Linux then takes any address of the machine's and asks once more
			// (ip6_dst_lookup_tail).
			ways = append(append(ways, Way{}), e.fromAnyAddress(k)...)
		case dev == "":
			ways = append(ways, Way{})
		case k.Dst.Is6():
			sent.Src = e.address(dev, true)
			ways = append(ways, e.sent(sent, dev)...)
		default:
			// For IPv4 the first look-up only gives the address; another one, with it, counts
			// (ip_route_connect).
			sent.Src = e.address(dev, false)
			ways = append(ways, e.fromAddress(sent)...)
		}
	}
	return ways
}

// fromAddress returns the ways of a local packet whose sender has an address.
func (e Evaluator) fromAddress(k Packet) []Way {
	var ways []Way
	for _, dev := range e.route(k, nil) {
		ways = append(ways, e.sent(k, dev)...)
	}
	return ways
}

func (e Evaluator) fromAnyAddress(k Packet) []Way {
	var ways []Way
	for _, prefixes := range e.Host.Addrs {
		for _, p := range prefixes {
			if p.Addr().Is6() {
				k.Src = p.Addr()
				ways = append(ways, e.fromAddress(k)...)
			}
		}
	}
	return ways
}

// sent returns the ways of a local packet that its sender got a route over dev for.
func (e Evaluator) sent(k Packet, dev string) []Way {
	if dev == "" {
		return []Way{{}}
	}
	to := e.classify(k)
	if to == nil {
		return e.onward(k, []string{dev})
	}
	ways := e.onward(k, e.route(k, to))
	if to == nowhere && !e.steersLocal() {
		return ways // main's routes may have it anyway, as they had before
	}
	for i, w := range ways {
		// Moved to another uplink the packet keeps the address of the first one, where it would be
		// of no use: it gets the other one's, also without nat.
		if e.uplinkOn(w.Dev) != nil && w.Src == k.Src && !e.has(w.Dev, w.Src) {
			ways[i].Src = e.address(w.Dev, k.Dst.Is6())
		}
	}
	return ways
}

// steersLocal reports whether a policy leads packets of the router's own anywhere.
func (e Evaluator) steersLocal() bool {
	return slices.ContainsFunc(e.Policy.Policies, func(c Class) bool {
		local := slices.ContainsFunc(c.From, func(n NameItem) bool { return n.Name == "local" })
		return local && c.Action == "" && (!c.Default || e.pastRules() != nil)
	})
}

// has reports whether an interface has the address.
func (e Evaluator) has(dev string, a netip.Addr) bool {
	return slices.ContainsFunc(e.Host.Addrs[dev], func(p netip.Prefix) bool { return p.Addr() == a })
}

// spoofed reports whether a packet that the router receives has a source that no host there has:
// dropped, before anything else.
func (e Evaluator) spoofed(k Packet) bool {
	if k.Local() {
		return false
	}
	// Of IPv6 the kernel judges no sources by itself.
	if e.own(k.Src) && (k.Src.Is4() || e.Policy.ReversePath == "nft" || e.Policy.ReversePath == "nft-strict") {
		return true
	}
	if e.Policy.ReversePath != "nft-strict" {
		return false
	}
	back := Packet{Src: k.Dst, Dst: k.Src, Proto: k.Proto, DSCP: k.DSCP, Mark: k.Mark}
	if u := e.uplinkOn(k.IIF); u != nil {
		return !slices.Contains(e.route(back, &target{routes: []Route{{Uplink: u.Name}}}), k.IIF)
	}
	return !slices.Contains(e.route(back, nil), k.IIF)
}

// Spoofed reports whether a packet that the router receives is dropped for its source.
func (e Evaluator) Spoofed(k Packet) bool { return e.spoofed(k) }

// Stays reports whether a connection that left by an uplink's interface stays on it, whatever
// happens to others: all but those of the uplink that default uses first, as long as it does, and
// those that rules may have sent by main's routes through an uplink that does not carry their IP
// version.
func (e Evaluator) Stays(dev string, v6 bool) bool {
	if !e.uplinkOn(dev).Carries(v6) && e.looksIntoMain() {
		return false
	}
	if !e.Policy.HasDefault {
		return true
	}
	u, best := e.uplinkOn(dev), bestRoutes(e.Policy.Default)
	if len(best) > 1 || best[0].Uplink != u.Name {
		return true
	}
	return !slices.ContainsFunc(e.healthy(v6, e.Policy.Default, false), func(r Route) bool { return r.Uplink == u.Name })
}

// Pinned returns the interfaces of an answer from an uplink in a connection that stays on that
// uplink. Beside policies no rule of the policy file sees it.
func (e Evaluator) Pinned(k Packet) []string {
	if len(e.Policy.Policies) > 0 {
		return e.route(k, e.pastRules())
	}
	return e.Unclassified(k)
}

// Unclassified returns the interfaces of a packet of a connection under way that carries no mark:
// an answer from an uplink. Empty strings stand for a packet that goes nowhere.
func (e Evaluator) Unclassified(k Packet) []string { return e.route(k, nil) }

// onward gives each interface its source address.
func (e Evaluator) onward(k Packet, devs []string) []Way {
	var ways []Way
	for _, dev := range devs {
		if dev == "" {
			ways = append(ways, Way{})
			continue
		}
		w := Way{Dev: dev, Src: k.Src}
		if u := e.uplinkOn(dev); u != nil {
			w.Src = e.translate(*u, k)
		}
		ways = append(ways, w)
	}
	return ways
}

// translate is an uplink's source NAT.
func (e Evaluator) translate(u Uplink, k Packet) netip.Addr {
	switch u.NAT {
	case "none":
		return k.Src
	case "masquerade":
		return e.address(u.Interface, k.Src.Is6())
	}
	if to := netip.MustParseAddr(u.NAT); to.Is4() == k.Src.Is4() {
		return to
	}
	return k.Src
}

func (e Evaluator) uplink(name string) Uplink {
	for _, u := range e.Policy.Uplinks {
		if u.Name == name {
			return u
		}
	}
	panic("policy names an uplink that it lacks: " + name)
}

func (e Evaluator) uplinkOn(dev string) *Uplink {
	for i, u := range e.Policy.Uplinks {
		if u.Interface == dev {
			return &e.Policy.Uplinks[i]
		}
	}
	return nil
}

func (e Evaluator) own(a netip.Addr) bool {
	for _, prefixes := range e.Host.Addrs {
		for _, p := range prefixes {
			if p.Addr() == a {
				return true
			}
		}
	}
	return false
}

// address is an interface's address of a family; invalid if it has none.
func (e Evaluator) address(dev string, v6 bool) netip.Addr {
	for _, p := range e.Host.Addrs[dev] {
		if p.Addr().Is6() == v6 {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// Only returns the interfaces that a forwarded connection may leave through, whatever happens to
// links; strict is false where nothing says so: neither a strict table or policy catches it, nor a
// rule that looks into one table alone.
func (e Evaluator) Only(k Packet) (devs []string, strict bool) {
	if to := e.classify(k); to != nil {
		return e.only(to)
	}
	for _, r := range sortedRules(e.Policy.Rules) {
		if !e.ruleMatches(r, k) {
			continue
		}
		if r.Action == "unreachable" || r.Action == "prohibit" || r.Action == "drop" {
			return nil, true
		}
		if r.Table == "main" || r.Table == "default" {
			return nil, false
		}
		to := *e.target(r.Table, r.Uplink)
		to.strict = to.strict || r.Action == "lookup-only-in-table"
		return e.only(&to)
	}
	return nil, false
}

func (e Evaluator) only(to *target) (devs []string, strict bool) {
	for _, member := range to.oneOf {
		more, strict := e.only(member)
		if !strict {
			return nil, false
		}
		devs = append(devs, more...)
	}
	for _, r := range to.routes {
		devs = append(devs, e.uplink(r.Uplink).Interface)
	}
	return devs, to.strict || to.oneOf != nil
}

// LeftToDefault reports whether a policy leaves a connection to default, past the rules.
func (e Evaluator) LeftToDefault(k Packet) bool {
	to := e.classify(k)
	return to != nil && to.past
}
