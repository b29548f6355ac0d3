package compiler

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// Names of what judges source addresses.
const (
	chainSource       = "source"
	chainSourceFirst  = "source-first"
	chainSourceStrict = "source-strict"
	mapReverse        = "reverse"
	prefixReverse     = "reverse-" // a chain for each uplink
)

var (
	// outside4 and outside6 are not the sources of a host that has no address yet (RFC 1122,
	// 3.2.1.3; RFC 4291, 2.5.2): the kernel takes them for what such a host has to send alone; nor
	// link-local ones, which another link may have too.
	outside4 = when(notPrefix(plan.FieldIPSAddr, "0.0.0.0/8"))
	outside6 = when(notPrefix(plan.FieldIP6SAddr, "fe80::/10"), notPrefix(plan.FieldIP6SAddr, "::/128"))
	// noWayBack is "fib saddr . mark . iif oif missing".
	noWayBack = plan.Match{Field: plan.FieldFibSAddrBack}
	// arrived is not from the router itself.
	arrived = plan.Match{Field: plan.FieldIIFName, Not: true, From: plan.KeyFromString(loopback), To: plan.KeyFromString(loopback)}
)

var drop plan.Action = plan.Drop{}

// counterSpoofed counts what is dropped for its source.
const counterSpoofed = "spoofed"

// dropSpoofed drops a packet, and counts it.
func dropSpoofed(comment string, matches []plan.Match) plan.ChainRule {
	return rule(comment, matches, plan.Count{Counter: counterSpoofed}, drop)
}

func notPrefix(field plan.Field, s string) plan.Match {
	e := prefix(s)
	return plan.Match{Field: field, Not: true, From: e.From, To: e.To}
}

func jumpChain(chain string) plan.Action { return plan.Jump{Chain: chain} }

// reversed reports whether source addresses are judged here, and not by the kernel.
func (c *compilation) reversed() bool { return c.doc.Settings.ReversePath != policy.ReverseKernel }

// addReversePath adds the chain that drops packets whose source is one of the router's own
// addresses, or none that a host can have: what the kernel's reverse look-up (fib_validate_source,
// net/ipv4/fib_frontend.c) drops with rp_filter = 0.
func (c *compilation) addReversePath() {
	if !c.reversed() {
		return
	}
	c.out.Ruleset.Counters = append(c.out.Ruleset.Counters,
		plan.Counter{Name: counterSpoofed, Comment: "dropped: no source address of a host there"})
	own := when(inSet(plan.FieldFibSAddrType, setUnrouted))
	c.addChain(plan.Chain{Name: chainSource, Rules: []plan.ChainRule{
		dropSpoofed("the router's own address, or broadcast", slices.Concat(outside4, own)),
		dropSpoofed("the router's own address", slices.Concat(outside6, own)),
	}})
	if c.strictReverse() {
		c.addStrictSource()
		c.addChain(plan.Chain{Name: chainSourceFirst, Rules: []plan.ChainRule{
			rule("", nil, jumpChain(chainSource)),
			rule("", outside4, jumpChain(chainSourceStrict)),
			rule("", outside6, jumpChain(chainSourceStrict)),
		}})
	}
	// A packet from outside could pretend to be of a connection of the router with itself, so what
	// the router receives is judged in connections, too. What it forwards there is not for it.
	c.addChain(plan.Chain{Name: "input", Kind: "filter", Hook: "input", Priority: priorityMangle, Rules: []plan.ChainRule{
		rule("established", when(arrived, anyBit(plan.FieldCTState, stateEstablished|stateRelated)), jumpChain(chainSource)),
	}})
}

func (c *compilation) strictReverse() bool { return c.doc.Settings.ReversePath == policy.ReverseStrict }

// addStrictSource adds the chain that drops packets whose source has no route back by the interface
// that they arrived on. For an uplink that is its own table, as for the answers.
func (c *compilation) addStrictSource() {
	s := plan.Set{Name: mapReverse, Type: plan.TypeIfname, Map: true, Comment: "interface of an uplink: whether its table leads back"}
	for i := range c.doc.Uplinks {
		u := &c.doc.Uplinks[i]
		chain := prefixReverse + u.Name
		c.addChain(plan.Chain{Name: chain, Rules: []plan.ChainRule{
			rule("uplink "+u.Name, nil, plan.SetMark{Mask: c.mask, Value: c.numbers.mark(u.Name)}),
			dropSpoofed("no way back", when(noWayBack)),
			rule("download: never routing-marked", nil, plan.SetMark{Mask: c.mask}),
		}})
		k := plan.KeyFromString(u.Interface)
		s.Elements = append(s.Elements, plan.Element{From: k, To: k, Goto: chain, Jump: true})
	}
	c.addSet(s)
	c.addChain(plan.Chain{Name: chainSourceStrict, Rules: []plan.ChainRule{
		rule("", nil, plan.VMap{Field: plan.FieldIIFName, Set: mapReverse}),
		dropSpoofed("no way back", when(notInSet(plan.FieldIIFName, setUplinks), noWayBack)),
	}})
}

// judgeSource is the rule for packets that are not of a connection under way.
func (c *compilation) judgeSource(matches ...plan.Match) []plan.ChainRule {
	switch {
	case !c.reversed():
		return nil
	case c.strictReverse():
		return []plan.ChainRule{rule("from there?", matches, jumpChain(chainSourceFirst))}
	}
	return []plan.ChainRule{rule("from there?", matches, jumpChain(chainSource))}
}

// addReverseSysctls adds the settings by which the kernel spares its own check, on every interface
// that traffic arrives on. The kernel takes the greater of all and the interface.
func (c *compilation) addReverseSysctls(set func(value, path string, args ...any)) {
	set("1", "net/ipv4/conf/all/accept_local")
	set("0", "net/ipv4/conf/all/rp_filter")
	for _, name := range c.arrivals() {
		set("0", "net/ipv4/conf/%s/rp_filter", name)
	}
}

// arrivals are the uplinks' interfaces and those with an IPv4 address; for no machine in particular
// those that the policy names.
func (c *compilation) arrivals() []string {
	names := map[string]bool{}
	for i := range c.doc.Uplinks {
		names[c.doc.Uplinks[i].Interface] = true
	}
	if c.host.Known {
		for name, link := range c.host.Links {
			if name != loopback && slices.ContainsFunc(link.Addrs, netip.Addr.Is4) {
				names[name] = true
			}
		}
		maps.DeleteFunc(names, func(name string, _ bool) bool { _, exists := c.host.Links[name]; return !exists })
		return slices.Sorted(maps.Keys(names))
	}
	var named []policy.NameItem
	for i := range c.doc.Policies {
		named = append(named, c.doc.Policies[i].From...)
	}
	for i := range c.doc.Rules {
		named = append(named, c.doc.Rules[i].IIF...)
	}
	for _, n := range named {
		if !n.Not && !strings.HasSuffix(n.Name, "*") && n.Name != loopback {
			names[n.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
