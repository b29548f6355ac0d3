package compiler

import (
	"pbr/compiler/ipproto"
	"pbr/compiler/plan"
)

// What happens to a first packet depends on whether its source or its destination is one of the
// router's own addresses. The kernel's answer (fib) costs the look-up of a route each, in IPv6 a
// fifth of all that a new connection costs. While pbr watch shows that it keeps the sets of own
// addresses, packets are asked for what they surely are not instead: addresses that are in no set,
// and in none of the networks of which all addresses are special, are none of the router's. All
// others go the way on which the kernel is asked. So an address too much in the sets costs time and
// changes no answer.

// Chains of first packets while the own addresses are known.
const (
	chainFirstKnown   = "first-known" // IPv4, and what leads to the next one
	chainFirstKnown6  = "first-known-6"
	chainFirstSuspect = "first-suspect" // whose source may be one of the router's own
)

// specialSources4 and specialTargets4 are the networks of which the kernel is asked whatever is in
// the set: loopback, multicast and all behind it, and as destinations "this network" and link-local
// ones. specialTargets6 are link-local and multicast ones: two networks of whole bytes, because a
// part of a byte takes the kernel longer.
var (
	specialSources4 = []plan.Element{prefix("127.0.0.0/8"), prefix("224.0.0.0/3")}
	specialTargets4 = []plan.Element{prefix("0.0.0.0/8"), prefix("127.0.0.0/8"), prefix("169.254.0.0/16"), prefix("224.0.0.0/3")}
	specialTargets6 = []plan.Element{prefix("fe00::/8"), prefix("ff00::/8")}
)

// icmp6 is more than neighbour discovery, and quicker to tell.
var icmp6 = plan.Match{Field: plan.FieldL4Proto, From: plan.KeyFromUint8(ipproto.ICMPv6), To: plan.KeyFromUint8(ipproto.ICMPv6)}

// addOwnAddresses adds the sets of own addresses, which are empty until pbr watch fills them, and
// the chains of packets that are looked up in them.
func (c *compilation) addOwnAddresses(policies *classification) {
	c.addSet(plan.Set{Name: plan.SetOwnKnown, Type: plan.TypeNFProto, RunTime: true, Comment: "pbr watch keeps the own addresses of these"})
	c.addSet(plan.Set{Name: plan.SetOwn(plan.IPv4), Type: plan.TypeIPv4, RunTime: true, Comment: "the router's own, and broadcast"})
	c.addSet(plan.Set{Name: plan.SetOwn(plan.IPv6), Type: plan.TypeIPv6, RunTime: true, Comment: "the router's own, and anycast"})
	if c.reversed() {
		c.addChain(plan.Chain{Name: chainFirstSuspect, Rules: append(c.judgeSource(arrived), rule("", nil, gotoChain(chainFirst)))})
	}
	six := c.addressesKnown(plan.IPv6)
	for _, special := range specialTargets6 {
		six = append(six, rule("link-local, multicast", when(between(plan.FieldIP6DAddr, special)), gotoChain(chainFirst)))
	}
	six = append(six, rule("router and neighbour discovery?", when(icmp6), gotoChain(chainFirst)),
		rule("", nil, gotoChain(policies.entry(plan.IPv6))))
	c.addChain(plan.Chain{Name: chainFirstKnown6, Rules: six})
	four := append([]plan.ChainRule{rule("", when(plan.NFProto(plan.IPv6)), gotoChain(chainFirstKnown6))}, c.addressesKnown(plan.IPv4)...)
	for _, special := range specialTargets4 {
		four = append(four, rule("", when(between(plan.FieldIPDAddr, special)), gotoChain(chainFirst)))
	}
	c.addChain(plan.Chain{Name: chainFirstKnown, Rules: append(four, rule("", nil, gotoChain(policies.entry(plan.IPv4))))})
}

// addressesKnown are the rules that look a packet's addresses up in the set of an IP version. As
// everywhere else the source is judged first.
func (c *compilation) addressesKnown(family plan.Family) (rules []plan.ChainRule) {
	own, fields := plan.SetOwn(family), fieldsOf(family)
	if c.reversed() {
		rules = append(rules, rule("the router's own?", when(inSet(fields.src, own)), gotoChain(chainFirstSuspect)))
		outside := outside6
		if family == plan.IPv4 {
			outside = outside4
			for _, special := range specialSources4 {
				rules = append(rules, rule("", when(between(fields.src, special)), gotoChain(chainFirstSuspect)))
			}
		}
		if c.strictReverse() {
			rules = append(rules, rule("", append(when(arrived), outside...), jumpChain(chainSourceStrict)))
		}
	}
	return append(rules, rule("the router's own?", when(inSet(fields.dst, own)), gotoChain(chainFirst)))
}

// between matches the values of an element.
func between(field plan.Field, e plan.Element) plan.Match {
	return plan.Match{Field: field, From: e.From, To: e.To}
}
