package compiler

import (
	"net/netip"
	"slices"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// ICMPv6 types 133-137: router and neighbour discovery, redirect (RFC 4861).
const (
	ndFirst = 133
	ndLast  = 137
)

var neighbourDiscovery = plan.Match{Field: plan.FieldICMPv6Type, From: plan.KeyFromUint8(ndFirst), To: plan.KeyFromUint8(ndLast)}

// Kinds of destination that are none of a table's business (RTN_*, linux/rtnetlink.h).
var unrouted = []plan.Element{
	single(plan.KeyFromUint32(2)), // local
	single(plan.KeyFromUint32(3)), // broadcast
	single(plan.KeyFromUint32(4)), // anycast
	single(plan.KeyFromUint32(5)), // multicast
}

// Destinations that are never classified: link-local (RFC 3927, RFC 4291), multicast (RFC 5771,
// RFC 4291) and limited broadcast (RFC 919).
var (
	never4 = []plan.Element{prefix("169.254.0.0/16"), prefix("224.0.0.0/4"), prefix("255.255.255.255/32")}
	never6 = []plan.Element{prefix("fe80::/10"), prefix("ff00::/8")}
)

func prefix(s string) plan.Element {
	p := netip.MustParsePrefix(s)
	return plan.Element{From: plan.KeyFromAddr(p.Addr()), To: plan.KeyFromAddr(policy.PrefixRange(p).To)}
}

// addHookChains adds the base chains. Their rules are the whole cost of an established connection.
func (c *compilation) addHookChains() {
	// The mark first: of pinned connections, which have more rules before them, it ends the rule.
	established := when(markMatch(plan.FieldCTMark, c.mask, 0, false), anyBit(plan.FieldCTState, stateEstablished|stateRelated))
	// A first packet is new and not confirmed: an unanswered UDP flow stays new, and must not
	// be dealt out again for each of its packets.
	firstPacket := when(anyBit(plan.FieldCTState, stateNew), noBit(plan.FieldCTStatus, statusConfirmed))
	restore := plan.VMap{Field: plan.FieldCTMark, Mask: c.mask, Set: mapMarks}
	c.addChain(plan.Chain{Name: chainPinned, Rules: slices.Concat([]plan.ChainRule{
		rule("to its uplink", nil, restore),
	}, c.judgeSource(arrived), []plan.ChainRule{
		rule("first packet of a connection", firstPacket, gotoChain(chainFirst)),
	})})

	rules := append([]plan.ChainRule{rule("established, unmarked", established, accept)}, c.byDirection()...)
	for _, uplink := range oneOf(plan.FieldIIFName, setUplinks, c.interfaces()) {
		rules = append(rules, rule("download: never routing-marked", when(uplink), gotoChain(chainFromUplink)))
	}
	rules = append(rules, rule("of a pinned connection", when(markMatch(plan.FieldCTMark, c.mask, 0, true)), gotoChain(chainPinned)))
	// What is left carries no mark, and if it is of a connection this is new.
	unconfirmed := noBit(plan.FieldCTStatus, statusConfirmed)
	rules = append(rules, rule("first packet of a connection, own addresses known",
		when(unconfirmed, inSet(plan.FieldNFProto, plan.SetOwnKnown)), gotoChain(chainFirstKnown)))
	rules = append(rules, c.judgeSource(arrived)...)
	rules = append(rules, rule("first packet of a connection", when(unconfirmed), gotoChain(chainFirst)))
	c.addChain(plan.Chain{Name: "prerouting", Kind: "filter", Hook: "prerouting", Priority: priorityMangle,
		Rules: append(rules, c.outOfState(chainFirst)...)})
	c.addChain(plan.Chain{Name: "output", Kind: "route", Hook: "output", Priority: priorityMangle, Rules: append([]plan.ChainRule{
		rule("established, unmarked", established, accept),
		rule("an error for a host inside", when(anyBit(plan.FieldCTState, stateRelated), notInSet(plan.FieldOIFName, setUplinks)), accept),
		rule("pinned: to its uplink", nil, restore),
		rule("the socket chose its own mark", when(markMatch(plan.FieldMark, c.mask, 0, true)), accept),
		rule("first packet of a connection", firstPacket, gotoChain(chainFirstLocal)),
	}, c.outOfState(chainFirstLocal)...)})
	c.addPinningChains(restore)
	kind, priority := c.pinHook()
	c.addChain(plan.Chain{Name: "postrouting", Kind: kind, Hook: "postrouting", Priority: priority, Rules: c.pinRules()})
	c.addTunnelChain()
}

// byDirection are the rules for connections of which the ct mark says that they were opened from
// inside: their packets need no look-up of the interface that they arrive on. All others are left
// to the rules behind; so are connections that a helper expected (FTP, SIP): they inherit the mark,
// whichever side they come from.
func (c *compilation) byDirection() []plan.ChainRule {
	if c.numbers.inside == 0 {
		return nil
	}
	inside := when(anyBit(plan.FieldCTMark, c.numbers.inside), noBit(plan.FieldCTStatus, statusExpected))
	download := accept
	if AnswersPassRules(c.doc) {
		download = gotoChain(chainFromUplink)
	}
	rules := []plan.ChainRule{rule("opened from inside: download",
		append(when(is(plan.FieldCTDirection, plan.KeyFromUint8(directionReply))), inside...), download)}
	return append(rules, c.restoreInside(inside)...)
}

// addTunnelChain takes the mark off packets that enter a tunnel: the kernel routes what carries
// them by the same mark (GRE, IPIP, VXLAN), which would lead back into the tunnel.
func (c *compilation) addTunnelChain() {
	var tunnels []plan.Element
	for i := range c.doc.Uplinks {
		if u := &c.doc.Uplinks[i]; u.Gateway.Link || u.Gateway6.Link {
			tunnels = append(tunnels, single(plan.KeyFromString(u.Interface)))
		}
	}
	if tunnels == nil {
		return
	}
	c.addSet(plan.Set{Name: setTunnels, Type: plan.TypeIfname, Comment: "uplinks without a gateway", Elements: tunnels})
	c.addChain(plan.Chain{Name: "tunnel-exit", Kind: "filter", Hook: "postrouting", Priority: priorityTunnel, Rules: []plan.ChainRule{
		rule("tunnels: the mark is for the packet inside", when(inSet(plan.FieldOIFName, setTunnels)), plan.SetMark{Mask: c.mask}),
	}})
}

// outOfState classifies packets that belong to no connection, where a policy keeps some in a strict
// table or refuses them: unmarked they would leave through default.
func (c *compilation) outOfState(first string) []plan.ChainRule {
	if len(strictUplinks(c.doc)) == 0 && !policy.Refuses(c.doc) {
		return nil
	}
	return []plan.ChainRule{rule("invalid or untracked: strict still applies",
		when(anyBit(plan.FieldCTState, stateInvalid|stateUntracked)), gotoChain(first))}
}

// pinHook is where new connections are pinned. Only a connection's first packet passes the nat
// chains, which spares all others a base chain; but the first of these chains that translates it is
// the last one it passes, so the one that pins comes before anybody else's. Without translation the
// kernel would ready each connection for it, which costs more.
func (c *compilation) pinHook() (kind string, priority int32) {
	if c.translates() {
		return "nat", priorityPin
	}
	return "filter", priorityMangle
}

// pinRules give a new connection the number of the uplink that carries its first packet out.
func (c *compilation) pinRules() []plan.ChainRule {
	unmarked := markMatch(plan.FieldMark, c.mask, 0, false)
	notNew := rule("not new", when(noBit(plan.FieldCTState, stateNew)), accept)
	primary := rule("", when(unmarked), jumpChain(chainLeavesUnmarked))
	rules := []plan.ChainRule{notNew, primary}
	if c.translates() {
		// Nearly all packets here are first ones, and most of these use default's primary uplink.
		rules = []plan.ChainRule{primary, notNew}
	}
	rules = append(rules, c.keepPastRules()...)
	rules = append(rules, rule("pinned already", when(markMatch(plan.FieldCTMark, c.mask, 0, true)), jumpChain(chainLeavesPinned)))
	rules = append(rules, c.notCarried()...)
	rules = append(rules, c.returnRule()...)
	if len(strictUplinks(c.doc)) > 0 {
		rules = append(rules, rule("from a strict table", nil, plan.VMap{Field: plan.FieldMark, Mask: c.mask, Set: mapStrict}))
	}
	if len(lookupOnlyUplinks(c.doc)) > 0 {
		rules = append(rules, rule("by a rule that looks up in its table only", when(unmarked),
			plan.VMap{Field: plan.FieldOIFName, Set: mapPinRule}))
	}
	rules = append(rules, c.defaultReturnRule(unmarked)...)
	return append(rules, c.pinByExit()...)
}

// addPinningChains adds what the rules that pin jump to.
func (c *compilation) addPinningChains(restore plan.Action) {
	var primary []plan.ChainRule
	for _, family := range plan.Families {
		primary = append(primary, rule("default's primary uplink stays unmarked",
			when(plan.NFProto(family), inSet(plan.FieldOIFName, plan.SetPrimary(family))), accept))
	}
	c.addChain(plan.Chain{Name: chainLeavesUnmarked, Rules: primary})
	c.addChain(plan.Chain{Name: chainLeavesPinned, Rules: []plan.ChainRule{
		rule("not by an uplink", when(notInSet(plan.FieldOIFName, setUplinks)), accept),
		rule("to its uplink", nil, restore),
	}})
}

// answersByPrimary reports whether answers to unmarked connections from default's primary uplink
// leave through it for certain: a stateless rule, or a route of default to some network, could send
// them elsewhere.
func (c *compilation) answersByPrimary() bool {
	return c.doc.Default != nil && len(c.doc.Rules) == 0 &&
		!slices.ContainsFunc(c.doc.Default.Routes, func(r policy.Route) bool { return r.Dst.IsValid() })
}

// addFirstPacketChains adds what only first packets pass.
func (c *compilation) addFirstPacketChains() {
	never := plan.Jump{Chain: chainNever}
	c.addChain(plan.Chain{Name: chainNever, Rules: []plan.ChainRule{
		rule("router and neighbour discovery", when(neighbourDiscovery), accept),
		rule("", when(inSet(plan.FieldIPDAddr, setNever4)), accept),
		rule("", when(inSet(plan.FieldIP6DAddr, setNever6)), accept),
	}})
	fromUplink := c.answersOfPinned()
	if c.reversed() {
		// Packets of no connection are judged, too.
		fromUplink = append(fromUplink, rule("established", when(anyBit(plan.FieldCTState, stateEstablished|stateRelated)), accept))
		fromUplink = append(fromUplink, c.judgeSource()...)
	}
	fromUplink = append(fromUplink,
		rule("not new", when(noBit(plan.FieldCTState, stateNew)), accept),
		rule("", nil, never),
	)
	if c.answersByPrimary() {
		for _, family := range plan.Families {
			fromUplink = append(fromUplink, rule("default's primary uplink stays unmarked",
				when(plan.NFProto(family), inSet(plan.FieldIIFName, plan.SetPrimary(family))), accept))
		}
	}
	c.addChain(plan.Chain{Name: chainFromUplink, Rules: append(fromUplink, c.pinByArrival()...)})
	unroutable := rule("", when(inSet(plan.FieldFibDAddrType, setUnrouted)), accept)
	c.addChain(plan.Chain{Name: chainFirst, Rules: []plan.ChainRule{
		rule("", nil, never), unroutable, rule("", nil, gotoChain(chainClassify)),
	}})
	c.addChain(plan.Chain{Name: chainFirstLocal, Rules: []plan.ChainRule{
		rule("", nil, never), unroutable, rule("", nil, gotoChain(chainClassifyLocal)),
	}})
}
