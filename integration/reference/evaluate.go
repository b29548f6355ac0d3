package reference

import (
	"cmp"
	"net/netip"
	"slices"
)

// Host is the router that a policy is for.
type Host struct {
	// Addrs are its addresses with their networks' lengths, by interface.
	Addrs map[string][]netip.Prefix
	// Main are the routes of the main table, apart from the connected networks.
	Main []MainRoute
	// Down are the uplinks that failed their checks, in one IP version or both: the order in which
	// they did, 1 first.
	Down map[UplinkVersion]int
}

// UplinkVersion is an uplink in one IP version.
type UplinkVersion struct {
	Uplink string
	V6     bool
}

// MainRoute is one route of the main table.
type MainRoute struct {
	Dst netip.Prefix
	Dev string
}

// Packet is the first packet of a connection.
type Packet struct {
	// IIF is the interface that it arrived on, empty for the router's own.
	IIF      string
	UID, GID uint32
	// Cgroup is the path of the local sender's control group, empty for the root.
	Cgroup       string
	Src, Dst     netip.Addr // Src is invalid when the router's own sender leaves it to the kernel
	Proto        uint8
	SPort, DPort uint16
	ICMPType     uint8
	DSCP         uint8
	MAC          [6]byte
	// Mark has the bits of fwmark that others have set.
	Mark uint32
}

// Local reports whether the router itself sends the packet.
func (k Packet) Local() bool { return k.IIF == "" }

// Way is how a packet may leave.
type Way struct {
	// Dev is the interface, empty for a packet that does not leave: it is for the
	// router, or has no route, or is refused.
	Dev string
	// Src is its source address on the wire.
	Src netip.Addr
}

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

// looksIntoMain reports whether a rule leads to the main table, which serves as default where there
// is none.
func (e Evaluator) looksIntoMain() bool {
	return slices.ContainsFunc(e.Policy.Rules, func(r Rule) bool {
		return r.Table == "main" || r.Table == "default" &&
			!e.Policy.HasDefault
	})
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

func bestRoutes(routes []Route) []Route {
	least := slices.MinFunc(routes, func(a, b Route) int { return cmp.Compare(a.Distance, b.Distance) })
	return slices.DeleteFunc(slices.Clone(routes), func(r Route) bool { return r.Distance != least.Distance })
}

// target is a table by its meaning: routes, and what happens to packets that none of them takes.
type target struct {
	routes []Route
	strict bool
	// past is default, for a connection that a policy left to it: rules do not see it.
	past bool
	// oneOf are what a balance chooses from; the rest is then empty.
	oneOf []*target
}

func (e Evaluator) target(table, uplink string) *target {
	if uplink != "" {
		return &target{routes: []Route{{Uplink: uplink, Distance: 1}}}
	}
	for _, t := range e.Policy.Tables {
		if t.Name == table {
			return &target{routes: t.Routes, strict: t.Strict}
		}
	}
	panic("policy names a table that it lacks: " + table)
}

// route follows the order of precedence. to is where a policy sent the packet, nil for none.
// The result has an empty name for a packet that goes nowhere.
func (e Evaluator) route(k Packet, to *target) []string {
	if to != nil && to.oneOf != nil {
		var devs []string
		for _, member := range to.oneOf {
			devs = append(devs, e.route(k, member)...)
		}
		return devs
	}
	if e.Policy.MainFirst != "off" {
		if devs := e.main(k.Dst, e.Policy.MainFirst == "connected", false); devs != nil {
			return devs
		}
	}
	if to != nil && !to.past {
		if devs := e.lookup(k.Dst, to.routes, to.strict); devs != nil {
			return devs
		}
		if to.strict {
			return []string{""}
		}
	} else if devs := e.byAddress(k); devs != nil {
		return devs
	}
	if to == nil {
		if devs := e.byRules(k); devs != nil {
			return devs
		}
	}
	if devs := e.main(k.Dst, false, false); devs != nil {
		return devs
	}
	if devs := e.byDefault(k); devs != nil {
		return devs
	}
	return []string{""}
}

// pastRules is where connections go that a policy leaves to default; nil where there are no rules
// that could see them.
func (e Evaluator) pastRules() *target {
	if len(e.Policy.Rules) == 0 {
		return nil
	}
	return &target{past: true}
}

// byDefault is [default], and main's default routes. nil: no route.
func (e Evaluator) byDefault(k Packet) []string {
	if e.Policy.HasDefault {
		if devs := e.lookup(k.Dst, e.Policy.Default, false); devs != nil {
			return devs
		}
	}
	return e.main(k.Dst, false, true)
}

// byAddress is the way of a packet from an uplink's address. nil: it is from none, or has no route
// there.
func (e Evaluator) byAddress(k Packet) []string {
	for _, u := range e.Policy.Uplinks {
		for _, p := range e.Host.Addrs[u.Interface] {
			if p.Addr() == k.Src && u.Carries(k.Dst.Is6()) {
				// The router answers its own networks from any of its addresses.
				if devs := e.main(k.Dst, false, false); devs != nil {
					return devs
				}
				if devs := e.lookup(k.Dst, []Route{{Uplink: u.Name}}, false); devs != nil {
					return devs
				}
			}
		}
	}
	return nil
}

// byRules is what the rules say. nil: nothing.
func (e Evaluator) byRules(k Packet) []string {
	for _, r := range sortedRules(e.Policy.Rules) {
		if !e.ruleMatches(r, k) {
			continue
		}
		if r.Action == "unreachable" || r.Action == "prohibit" || r.Action == "drop" {
			return []string{""}
		}
		devs, strict := e.byRule(r, k)
		if devs != nil {
			return devs
		}
		if strict || r.Action == "lookup-only-in-table" {
			return []string{""}
		}
	}
	return nil
}

// byRule looks into a rule's table; strict means that nothing comes after it.
func (e Evaluator) byRule(r Rule, k Packet) (devs []string, strict bool) {
	switch {
	case r.Table == "main" || r.Table == "default" && !e.Policy.HasDefault:
		return e.main(k.Dst, false, true), false
	case r.Table == "default":
		return e.lookup(k.Dst, e.Policy.Default, false), false
	}
	to := e.target(r.Table, r.Uplink)
	return e.lookup(k.Dst, to.routes, to.strict), to.strict
}

// sortedRules puts numbered rules first, by number; the others follow in file order.
func sortedRules(rules []Rule) []Rule {
	sorted := slices.Clone(rules)
	const last = 1 << 30
	rank := func(r Rule) int {
		if r.Priority == 0 {
			return last
		}
		return r.Priority
	}
	slices.SortStableFunc(sorted, func(a, b Rule) int { return cmp.Compare(rank(a), rank(b)) })
	return sorted
}

// lookup finds a packet's interfaces in a table: the longest prefix, then the lowest distance, of
// uplinks that carry the family. nil: no route.
func (e Evaluator) lookup(dst netip.Addr, routes []Route, strict bool) []string {
	var fit []Route
	longest := -1
	for _, r := range e.healthy(dst.Is6(), routes, strict) {
		bits := 0
		if r.Dst.IsValid() {
			bits = r.Dst.Bits()
			if !r.Dst.Contains(dst) {
				continue
			}
		}
		if bits > longest {
			fit, longest = nil, bits
		}
		if bits == longest {
			fit = append(fit, r)
		}
	}
	if fit == nil {
		return nil
	}
	var devs []string
	for _, r := range e.sharing(dst.Is6(), bestRoutes(fit)) {
		devs = append(devs, e.uplink(r.Uplink).Interface)
	}
	return devs
}

// sharing returns those of routes of equal distance that share connections: in IPv6 only uplinks
// with a gateway can, and a route over another one is omitted.
func (e Evaluator) sharing(v6 bool, routes []Route) []Route {
	if !v6 || len(routes) < 2 {
		return routes
	}
	kept := slices.DeleteFunc(slices.Clone(routes), func(r Route) bool { return e.uplink(r.Uplink).Gateway6 == "" })
	if len(kept) == 0 {
		return []Route{slices.MinFunc(routes,
			func(a, b Route) int { return cmp.Compare(e.uplink(a.Uplink).Interface, e.uplink(b.Uplink).Interface) })}
	}
	return kept
}

// healthy returns the routes for a family over uplinks that did not fail; if there are none, and
// the table is not strict, those over the last one that did.
func (e Evaluator) healthy(v6 bool, routes []Route, strict bool) []Route {
	last := 0
	var up []Route
	for _, r := range routes {
		if !e.uplink(r.Uplink).Carries(v6) || r.Dst.IsValid() && r.Dst.Addr().Is6() != v6 {
			continue
		}
		if failed := e.Host.Down[UplinkVersion{r.Uplink, v6}]; failed == 0 {
			up = append(up, r)
		} else {
			last = max(last, failed)
		}
	}
	if up != nil || strict {
		return up
	}
	for _, r := range routes {
		if last > 0 && e.Host.Down[UplinkVersion{r.Uplink, v6}] == last && (!r.Dst.IsValid() || r.Dst.Addr().Is6() == v6) &&
			e.uplink(r.Uplink).Carries(v6) {
			up = append(up, r)
		}
	}
	return up
}

// main looks a destination up in the kernel's main table: connected networks only, or all of
// its routes but default ones, or all. nil: no route.
func (e Evaluator) main(dst netip.Addr, connectedOnly, defaults bool) []string {
	dev, longest := "", -1
	consider := func(p netip.Prefix, via string) {
		if p.Contains(dst) && p.Bits() > longest && (defaults || !isDefault(p)) {
			dev, longest = via, p.Bits()
		}
	}
	for name, prefixes := range e.Host.Addrs {
		for _, p := range prefixes {
			consider(p.Masked(), name)
		}
	}
	if !connectedOnly {
		for _, r := range e.Host.Main {
			consider(r.Dst, r.Dev)
		}
	}
	if longest < 0 {
		return nil
	}
	return []string{dev}
}

// isDefault reports whether a route of main counts as a default route: also halves of one do.
func isDefault(p netip.Prefix) bool { return p.Bits() <= 1 || p.Addr().Is6() && p.Bits() <= 4 }

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
