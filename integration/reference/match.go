package reference

import (
	"net/netip"
	"slices"
	"strings"
)

// neverClassified are destinations that policies do not look at.
var neverClassified = []netip.Prefix{
	netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("ff00::/8"), netip.MustParsePrefix("fe80::/10"),
}

// classify returns where the first matching policy sends a connection: nil if none does.
func (e Evaluator) classify(k Packet) *target {
	if e.uplinkOn(k.IIF) != nil || slices.ContainsFunc(neverClassified, func(p netip.Prefix) bool { return p.Contains(k.Dst) }) {
		return nil
	}
	if k.Proto == 58 && k.ICMPType >= 133 && k.ICMPType <= 137 {
		return nil
	}
	for _, c := range e.Policy.Policies {
		if !e.classMatches(c, k) {
			continue
		}
		if c.Default {
			return e.pastRules()
		}
		if c.Action != "" {
			return nowhere
		}
		if c.Balance != "" {
			return e.balanced(c.Balance, k.Dst.Is6(), c.Strict)
		}
		if c.Uplink == "" {
			return e.target(c.Table, "")
		}
		switch usable := e.uplink(c.Uplink).Carries(k.Dst.Is6()) && e.Host.Down[UplinkVersion{c.Uplink, k.Dst.Is6()}] == 0; {
		case usable:
			return &target{routes: []Route{{Uplink: c.Uplink}}, strict: c.Strict}
		case c.Strict:
			return nowhere
		}
		return e.pastRules() // what cannot use the uplink goes where default's connections do
	}
	return nil
}

// nowhere is a strict table without a route.
var nowhere = &target{strict: true}

// balanced is the choice that a balance has for connections of a family: its members with a route
// over an uplink that did not fail. Without one it is the last to fail of those that are not
// strict; without any, a strict table among the members has the connection, or else the balance has
// no say. For a strict policy nothing that failed is left, and every member is strict.
func (e Evaluator) balanced(name string, v6, strictly bool) *target {
	to, failed := &target{}, &target{}
	var strict *target
	last := 0
	for _, b := range e.Policy.Balances {
		if b.Name != name {
			continue
		}
		for _, m := range b.Members {
			t := e.target(m.Table, m.Uplink)
			t.strict = t.strict || strictly
			if t.strict && strict == nil {
				strict = t
			}
			switch ready, down := e.memberState(t, v6); {
			case !ready:
			case down == 0:
				to.oneOf = append(to.oneOf, t)
			case t.strict || down < last:
			case down > last:
				failed.oneOf, last = []*target{t}, down
			default:
				failed.oneOf = append(failed.oneOf, t)
			}
		}
	}
	switch {
	case to.oneOf != nil:
		return to
	case strictly:
		return nowhere
	case failed.oneOf != nil:
		return failed
	}
	if strict == nil {
		return e.pastRules()
	}
	return strict
}

// memberState reports whether a member of a balance has a route of a family, and when the last of
// its uplinks failed; 0 while one has not.
func (e Evaluator) memberState(t *target, v6 bool) (ready bool, down int) {
	for _, r := range t.routes {
		if !e.uplink(r.Uplink).Carries(v6) || r.Dst.IsValid() && r.Dst.Addr().Is6() != v6 {
			continue
		}
		ready = true
		if e.Host.Down[UplinkVersion{r.Uplink, v6}] == 0 {
			return true, 0
		}
		down = max(down, e.Host.Down[UplinkVersion{r.Uplink, v6}])
	}
	return ready, down
}

// BalanceOf is the balance that the first matching policy sends a connection to, nil if it does
// not.
func (e Evaluator) BalanceOf(k Packet) *Balance {
	for _, c := range e.Policy.Policies {
		if !e.classMatches(c, k) {
			continue
		}
		for i := range e.Policy.Balances {
			if e.Policy.Balances[i].Name == c.Balance {
				return &e.Policy.Balances[i]
			}
		}
		return nil
	}
	return nil
}

func (e Evaluator) classMatches(c Class, k Packet) bool {
	if !e.fromMatches(c.From, k) || !e.addrsMatch(c.Src, k.Src) || !e.addrsMatch(c.Dst, k.Dst) {
		return false
	}
	if c.IPVersion != 0 && (c.IPVersion == 6) != k.Dst.Is6() {
		return false
	}
	if !numsMatch(c.Proto, uint32(k.Proto)) || !numsMatch(c.DSCP, uint32(k.DSCP)) {
		return false
	}
	if !portsMatch(c.SPort, k.Proto, k.SPort) || !portsMatch(c.DPort, k.Proto, k.DPort) {
		return false
	}
	if len(c.UID) > 0 && (!k.Local() || !numsMatch(c.UID, k.UID)) {
		return false
	}
	if len(c.GID) > 0 && (!k.Local() || !numsMatch(c.GID, k.GID)) {
		return false
	}
	if !inCgroup(c.Cgroup, k.Cgroup) || !inUnit(c.Unit, k.Cgroup) {
		return false
	}
	if k.Mark&c.MarkMask != c.Mark || c.Schedule == "off" {
		return false
	}
	if len(c.MAC) > 0 && (k.Local() || !slices.Contains(c.MAC, k.MAC)) {
		return false
	}
	return len(c.ICMP) == 0 || slices.ContainsFunc(c.ICMP, func(name string) bool { return icmpMatches(name, k) })
}

// inCgroup reports whether a control group is one of some, or below one.
func inCgroup(any []string, path string) bool {
	return len(any) == 0 || slices.ContainsFunc(any, func(c string) bool { return strings.HasPrefix(path+"/", c+"/") })
}

// inUnit reports whether a control group is a unit's, or below it.
func inUnit(any []string, path string) bool {
	return len(any) == 0 || slices.ContainsFunc(any, func(u string) bool { return slices.Contains(strings.Split(path, "/"), u) })
}

// fromMatches reports whether from selects the packet: without "from" all forwarded traffic is
// meant, with it what is named.
func (e Evaluator) fromMatches(from []NameItem, k Packet) bool {
	if len(from) == 0 {
		return !k.Local()
	}
	if k.Local() {
		return slices.Contains(from, NameItem{Name: "local"})
	}
	rest := slices.DeleteFunc(slices.Clone(from), func(n NameItem) bool { return n.Name == "local" })
	return len(rest) > 0 && namesMatch(rest, k.IIF)
}

// everyInterface is any interface that is not an uplink.
const everyInterface = "*"

// namesMatch reports whether a name is, as in all lists, in one of the positive entries, if there
// are any, and in no negative one.
func namesMatch(items []NameItem, name string) bool {
	positive, in := false, false
	for _, it := range items {
		hit := it.Name == name || it.Name == everyInterface
		if it.Not && hit {
			return false
		}
		if !it.Not {
			positive = true
			in = in || hit
		}
	}
	return in || !positive
}

func (e Evaluator) addrsMatch(items []AddrItem, a netip.Addr) bool {
	positive, in := false, false
	for _, it := range items {
		hit := it.Span.From.IsValid() && it.Span.Has(a)
		if it.List != "" {
			hit = e.listHas(it.List, a)
		}
		if it.Not && hit {
			return false
		}
		if !it.Not {
			positive = true
			in = in || hit
		}
	}
	return in || !positive
}

func (e Evaluator) listHas(name string, a netip.Addr) bool {
	for _, l := range e.Policy.Lists {
		if l.Name == name {
			has := func(s Span) bool { return s.Has(a) }
			return slices.ContainsFunc(l.Spans, has) || slices.ContainsFunc(l.Members, has)
		}
	}
	panic("policy names a list that it lacks: " + name)
}

func numsMatch(items []NumItem, v uint32) bool {
	positive, in := false, false
	for _, it := range items {
		hit := it.From <= v && v <= it.To
		if it.Not && hit {
			return false
		}
		if !it.Not {
			positive = true
			in = in || hit
		}
	}
	return in || !positive
}

// portsMatch reports whether the ports are selected: those of TCP and UDP.
func portsMatch(items []NumItem, proto uint8, port uint16) bool {
	if len(items) == 0 {
		return true
	}
	return (proto == 6 || proto == 17) && numsMatch(items, uint32(port))
}

func icmpMatches(name string, k Packet) bool {
	types := icmpTypes[name]
	if k.Dst.Is6() {
		return k.Proto == 58 && slices.Contains(types.v6, k.ICMPType)
	}
	return k.Proto == 1 && slices.Contains(types.v4, k.ICMPType)
}

func (e Evaluator) ruleMatches(r Rule, k Packet) bool {
	iif := k.IIF
	if k.Local() {
		iif = "lo" // what ip-rule(8) calls the router's own traffic
	}
	if len(r.IIF) > 0 && !namesMatch(r.IIF, iif) {
		return false
	}
	if len(r.OIF) > 0 {
		return false // no sender of the tests is bound to an interface
	}
	if len(r.Src) > 0 && (!k.Src.IsValid() || !e.addrsMatch(r.Src, k.Src)) {
		return false
	}
	if !e.addrsMatch(r.Dst, k.Dst) || !numsMatch(r.Proto, uint32(k.Proto)) || !numsMatch(r.DSCP, uint32(k.DSCP)) {
		return false
	}
	if !numsMatch(r.TOS, uint32(k.DSCP)<<2) {
		return false
	}
	if !portsMatch(r.SPort, k.Proto, k.SPort) || !portsMatch(r.DPort, k.Proto, k.DPort) {
		return false
	}
	if len(r.UID) > 0 && (!k.Local() || !numsMatch(r.UID, k.UID)) {
		return false
	}
	return k.Mark&r.MarkMask == r.Mark
}
