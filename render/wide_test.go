package render

import (
	"fmt"
	"net/netip"

	"pbr/compiler/limits"
	"pbr/compiler/plan"
)

// ruleCase is a rule of a chain: what NFT writes for it, and what nft 1.0.6 lists then, if not the
// same.
type ruleCase struct {
	text, listed string
	rule         plan.ChainRule
}

func rule(ms []plan.Match, as ...plan.Action) plan.ChainRule {
	return plan.ChainRule{Matches: ms, Actions: as}
}

func ms(m ...plan.Match) []plan.Match { return m }

var accept = plan.Accept{}

func addrs(f plan.Field, from, to string) plan.Match {
	return plan.Match{Field: f, From: key(from), To: key(to)}
}

func key(addr string) plan.Key { return plan.KeyFromAddr(netip.MustParseAddr(addr)) }

// num matches a field of numbers.
func num(f plan.Field, from, to uint32) plan.Match {
	return plan.Match{Field: f, From: plan.KeyFromUint(f.Type(), from), To: plan.KeyFromUint(f.Type(), to)}
}

func dev(f plan.Field, name string) plan.Match {
	return plan.Match{Field: f, From: plan.KeyFromString(name), To: plan.KeyFromString(name)}
}

func not(m plan.Match) plan.Match { m.Not = true; return m }

func masked(m plan.Match, mask uint32) plan.Match { m.Mask = mask; return m }

func inSet(f plan.Field, set string) plan.Match { return plan.Match{Field: f, Set: set} }

const testMask = 0xff000000

// matchCases has every field, with a value, a range, a set, a negation, as far as plans use them.
func matchCases() []ruleCase {
	wild := dev(plan.FieldIIFName, "wg")
	wild.Wildcard = true
	udp := num(plan.FieldL4Proto, 17, 17)
	cases := []struct {
		text, listed string
		matches      []plan.Match
	}{
		{`iifname "br-lan"`, "", ms(dev(plan.FieldIIFName, "br-lan"))},
		{`iifname != "wg*"`, "", ms(not(wild))},
		{`iifname "odd\*"`, "", ms(dev(plan.FieldIIFName, "odd*"))},
		{`iifname @uplinks`, "", ms(inSet(plan.FieldIIFName, "uplinks"))},
		{`oifname != @wild`, "", ms(not(inSet(plan.FieldOIFName, "wild")))},
		{`meta nfproto ipv4`, "", ms(num(plan.FieldNFProto, 2, 2))},
		{`meta nfproto != ipv6`, "", ms(not(num(plan.FieldNFProto, 10, 10)))},
		{`meta l4proto tcp`, "", ms(num(plan.FieldL4Proto, 6, 6))},
		{`meta l4proto 200`, "", ms(num(plan.FieldL4Proto, 200, 200))},
		{`meta l4proto icmpv6`, "meta l4proto ipv6-icmp", ms(num(plan.FieldL4Proto, 58, 58))},
		{`meta l4proto @protos th sport 1-1023`, "", ms(inSet(plan.FieldL4Proto, "protos"), num(plan.FieldSPort, 1, 1023))},
		{`meta l4proto udp th dport 53`, "udp dport 53", ms(udp, num(plan.FieldDPort, 53, 53))},
		{`meta l4proto udp th dport != @dports`, "udp dport != @dports", ms(udp, not(inSet(plan.FieldDPort, "dports")))},
		{`ip saddr 192.168.10.32/28`, "", ms(addrs(plan.FieldIPSAddr, "192.168.10.32", "192.168.10.47"))},
		{`ip saddr 10.0.0.0/8 ip daddr != 192.0.2.7`, "",
			ms(addrs(plan.FieldIPSAddr, "10.0.0.0", "10.255.255.255"), not(addrs(plan.FieldIPDAddr, "192.0.2.7", "192.0.2.7")))},
		{`ip daddr 192.168.10.60-192.168.10.70`, "", ms(addrs(plan.FieldIPDAddr, "192.168.10.60", "192.168.10.70"))},
		{`ip saddr @phones-4`, "", ms(inSet(plan.FieldIPSAddr, "phones-4"))},
		{`ip6 saddr fe80::/10`, "", ms(addrs(plan.FieldIP6SAddr, "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))},
		{`ip6 daddr != @phones-6`, "", ms(not(inSet(plan.FieldIP6DAddr, "phones-6")))},
		{`icmp type 8`, "icmp type echo-request", ms(num(plan.FieldICMPType, 8, 8))},
		{`icmpv6 type 133-137`, "", ms(num(plan.FieldICMPv6Type, 133, 137))},
		{`icmp type @pings`, "", ms(inSet(plan.FieldICMPType, "pings"))},
		{`icmpv6 type @pings6`, "", ms(inSet(plan.FieldICMPv6Type, "pings6"))},
		{`ip dscp 0x2e`, "ip dscp ef", ms(num(plan.FieldDSCP4, 46, 46))},
		{`ip6 dscp != @dscps`, "", ms(not(inSet(plan.FieldDSCP6, "dscps")))},
		{`ether saddr 02:00:00:00:ab:01`, "", ms(plan.Match{Field: plan.FieldEtherSAddr,
			From: plan.KeyFromMAC([6]byte{2, 0, 0, 0, 0xab, 1}), To: plan.KeyFromMAC([6]byte{2, 0, 0, 0, 0xab, 1})})},
		{`ether saddr @macs`, "", ms(inSet(plan.FieldEtherSAddr, "macs"))},
		{`meta skuid 33-40`, "", ms(num(plan.FieldSKUID, 33, 40))},
		{`meta skuid @uids`, "", ms(inSet(plan.FieldSKUID, "uids"))},
		{`meta mark and 0xff000000 == 0x12000000`, "meta mark 0x12000000/8",
			ms(masked(num(plan.FieldMark, 0x12000000, 0x12000000), testMask))},
		{`ct mark and 0xff000000 == 0x00000000`, "ct mark 0x00000000/8", ms(masked(num(plan.FieldCTMark, 0, 0), testMask))},
		{`ct mark and 0xff000000 @ours`, "ct mark & 0xff000000 == @ours", ms(masked(inSet(plan.FieldCTMark, "ours"), testMask))},
		{`ct mark and 0x00ff00ff != 0x00010000`, "ct mark & 0x00ff00ff != 0x00010000",
			ms(not(masked(num(plan.FieldCTMark, 0x10000, 0x10000), 0xff00ff)))},
		{`ct state new`, "", ms(not(masked(num(plan.FieldCTState, 0, 0), 8)))},
		{`ct state established,related`, "", ms(not(masked(num(plan.FieldCTState, 0, 0), 6)))},
		{`ct state ! established,related`, "", ms(masked(num(plan.FieldCTState, 0, 0), 6))},
		{`ct status ! confirmed`, "", ms(masked(num(plan.FieldCTStatus, 0, 0), 8))},
		{`ct status snat,dnat`, "", ms(not(masked(num(plan.FieldCTStatus, 0, 0), 0x30)))},
		{`fib saddr type local`, "", ms(num(plan.FieldFibSAddrType, 2, 2))},
		{`fib daddr type @addrtypes`, "", ms(inSet(plan.FieldFibDAddrType, "addrtypes"))},
		{`fib saddr . oif type != local`, "", ms(not(num(plan.FieldFibSAddrOIFType, 2, 2)))},
		{`meta priority 0:70`, "", ms(num(plan.FieldPriority, 0x70, 0x70))},
		{`ct direction reply meta l4proto udp ct original proto-dst 53`, "",
			ms(num(plan.FieldCTDirection, 1, 1), num(plan.FieldL4Proto, 17, 17), num(plan.FieldCTOrigDPort, 53, 53))},
		{`meta skgid 33-40`, "", ms(num(plan.FieldSKGID, 33, 40))},
		{`meta skgid @y-gids`, "", ms(inSet(plan.FieldSKGID, "y-gids"))},
		{`meta time @x-times`, "", ms(inSet(plan.FieldTime, "x-times"))},
	}
	var out []ruleCase
	for _, c := range cases {
		if c.listed == "" {
			c.listed = c.text
		}
		out = append(out, ruleCase{c.text + " accept", c.listed + " accept", rule(c.matches, accept)})
	}
	return out
}

// actionCases has every statement that can stand in a filter chain.
func actionCases() []ruleCase {
	return []ruleCase{
		{"drop", "drop", rule(nil, plan.Drop{})},
		{"jump first", "jump first", rule(nil, plan.Jump{Chain: "first"})},
		{"goto first", "goto first", rule(nil, plan.Goto{Chain: "first"})},
		{"ct mark and 0xff000000 vmap @marks", "ct mark & 0xff000000 vmap @marks",
			rule(nil, plan.VMap{Field: plan.FieldCTMark, Mask: testMask, Set: "marks"})},
		// "fib saddr . iif" may not be reached from postrouting, where the matches are
		// (nft_fib_validate).
		{"fib saddr . mark . iif oif missing accept", "fib saddr . mark . iif oif missing accept",
			rule(ms(num(plan.FieldFibSAddrBack, 0, 0)), accept)},
		{"fib saddr . mark . iif oif exists accept", "fib saddr . mark . iif oif exists accept",
			rule(ms(num(plan.FieldFibSAddrBack, 1, 1)), accept)},
		{"oifname vmap @pins", "oifname vmap @pins", rule(nil, plan.VMap{Field: plan.FieldOIFName, Set: "pins"})},
		{"meta mark set meta mark and 0x00ffffff or 0x12000000", "meta mark set meta mark & 0x12ffffff | 0x12000000",
			rule(nil, plan.SetMark{Mask: testMask, Value: 0x12000000})},
		{"ct mark set ct mark and 0x00ffffff", "ct mark set ct mark & 0x00ffffff",
			rule(nil, plan.SetCTMark{Mask: testMask})},
		{"meta mark set 0x00000012", "meta mark set 0x00000012", rule(nil, plan.SetMark{Mask: 0xffffffff, Value: 0x12})},
		{`limit rate 10/second burst 20 packets log prefix "pbr:voip "`, `limit rate 10/second burst 20 packets log prefix "pbr:voip "`,
			rule(nil, plan.Limit{Rate: 10, Burst: 20}, plan.Log{Prefix: "pbr:voip "})},
		{`limit rate 3/second counter name "policy-voip"`, `limit rate 3/second counter name "policy-voip"`,
			rule(nil, plan.Limit{Rate: 3}, plan.Count{Counter: "policy-voip"})},
	}
}

// choiceCases has the statements of balances.
func choiceCases() []ruleCase {
	hashed := func(seed uint32, set string, fields ...plan.Field) plan.Action {
		a := plan.HashVMap{Mod: 1024, Seed: seed, Set: set}
		copy(a.Fields[:], fields)
		return a
	}
	v4, v6 := num(plan.FieldNFProto, 2, 2), num(plan.FieldNFProto, 10, 10)
	remember := plan.Remember{Field: plan.FieldIPSAddr, Mask: testMask, Timeout: 3600, Set: "clients-4"}
	forget4 := plan.Forget{Field: plan.FieldIPSAddr, Mask: testMask, Set: "clients-4"}
	forget6 := plan.Forget{Field: plan.FieldIP6SAddr, Prefix: 64, Mask: testMask, Set: "clients-6"}
	return []ruleCase{
		{"meta nfproto ipv4 jhash ip saddr . ip daddr mod 1024 seed 0x1f vmap @slots",
			"jhash ip saddr . ip daddr mod 1024 seed 0x1f vmap @slots",
			rule(ms(v4), hashed(0x1f, "slots", plan.FieldIPSAddr, plan.FieldIPDAddr))},
		{"meta nfproto ipv6 meta l4proto @protos jhash ip6 saddr . th sport . th dport . meta l4proto mod 1024 seed 0x0 vmap @slots",
			"meta l4proto @protos jhash ip6 saddr . th sport . th dport . meta l4proto mod 1024 seed 0x0 vmap @slots",
			rule(ms(v6, inSet(plan.FieldL4Proto, "protos")), hashed(0, "slots", plan.FieldIP6SAddr, plan.FieldSPort,
				plan.FieldDPort, plan.FieldL4Proto))},
		{"numgen inc mod 3 vmap @turns", "numgen inc mod 3 vmap @turns", rule(nil, plan.CycleVMap{Mod: 3, Set: "turns"})},
		{"numgen random mod 1024 vmap @slots", "numgen random mod 1024 vmap @slots", rule(nil, plan.RandomVMap{Mod: 1024, Set: "slots"})},
		{"meta nfproto ipv4 ct mark set ip saddr map @clients-4", "ct mark set ip saddr map @clients-4",
			rule(ms(v4), plan.RecallCTMark{Field: plan.FieldIPSAddr, Set: "clients-4"})},
		{"meta nfproto ipv4 update @clients-4 { ip saddr timeout 3600s : meta mark and 0xff000000 }",
			"update @clients-4 { ip saddr timeout 1h : meta mark & 0xff000000 }", rule(ms(v4), remember)},
		{"meta nfproto ipv4 delete @clients-4 { ip saddr : meta mark and 0xff000000 }",
			"delete @clients-4 { ip saddr : meta mark & 0xff000000 }",
			rule(ms(v4), forget4)},
		{"meta nfproto ipv6 delete @clients-6 { ip6 saddr and ffff:ffff:ffff:ffff:: : meta mark and 0xff000000 }",
			"delete @clients-6 { ip6 saddr & ffff:ffff:ffff:ffff:: : meta mark & 0xff000000 }", rule(ms(v6), forget6)},
		{"limit rate 1/minute burst 5 packets log prefix \"pbr:pool full \"", "limit rate 1/minute log prefix \"pbr:pool full \"",
			rule(nil, plan.Limit{Rate: 1, Burst: 5, Minutes: true}, plan.Log{Prefix: "pbr:pool full "})},
	}
}

// kernelCases has the statements that not every kernel and nft have.
func kernelCases() []ruleCase {
	return []ruleCase{
		{"flow add @flows", "", rule(nil, plan.Offload{Flowtable: "flows"})},
		{"queue flags bypass to 112", "", rule(nil, plan.Queue{Number: 112})},
		{"queue flags bypass to 112", "", rule(nil, plan.QueueTarget{Number: 112})},
		{"log group 112 queue-threshold 1", "", rule(nil, plan.LogGroup{Group: 112})},
	}
}

// natCases has the statements of a nat chain.
func natCases() []ruleCase {
	snat := func(a string) plan.Action { return plan.SNAT{Addr: netip.MustParseAddr(a)} }
	return []ruleCase{
		{`oifname "eth1" masquerade`, `oifname "eth1" masquerade`,
			rule(ms(dev(plan.FieldOIFName, "eth1")), plan.Masquerade{})},
		{`meta nfproto ipv4 snat ip to 203.0.113.7`, `meta nfproto ipv4 snat ip to 203.0.113.7`,
			rule(ms(num(plan.FieldNFProto, 2, 2)), snat("203.0.113.7"))},
		{`meta nfproto ipv6 snat ip6 to 2001:db8::7`, `meta nfproto ipv6 snat ip6 to 2001:db8::7`,
			rule(ms(num(plan.FieldNFProto, 10, 10)), snat("2001:db8::7"))},
	}
}

// commented returns the rules of cases, each with a comment of its own.
func commented(prefix string, cases []ruleCase) []plan.ChainRule {
	var out []plan.ChainRule
	for i, c := range cases {
		r := c.rule
		r.Comment = fmt.Sprint(prefix, " ", i)
		out = append(out, r)
	}
	return out
}

func single(t plan.Type, values ...uint32) []plan.Element {
	var es []plan.Element
	for _, v := range values {
		es = append(es, plan.Element{From: plan.KeyFromUint(t, v), To: plan.KeyFromUint(t, v)})
	}
	return es
}

func span(t plan.Type, from, to uint32) plan.Element {
	return plan.Element{From: plan.KeyFromUint(t, from), To: plan.KeyFromUint(t, to)}
}

func addrSpan(from, to string) plan.Element { return plan.Element{From: key(from), To: key(to)} }

func names(goTo string, names ...string) []plan.Element {
	var es []plan.Element
	for _, n := range names {
		es = append(es, plan.Element{From: plan.KeyFromString(n), To: plan.KeyFromString(n), Goto: goTo})
	}
	return es
}

// wideSets has a set of every type that plans use.
func wideSets() []plan.Set {
	wild := plan.Element{From: plan.KeyFromString("wg"), To: plan.MaxKey(plan.TypeIfname)}
	copy(wild.To[:], "wg")
	mac := plan.KeyFromMAC([6]byte{2, 0, 0, 0, 0, 1})
	return append(tupleSets(), []plan.Set{
		{Name: "addrtypes", Type: plan.TypeFibAddrType, Elements: single(plan.TypeFibAddrType, 3, 5)},
		{Name: "clients-4", Type: plan.TypeIPv4, Map: true, Data: plan.TypeMark, Dynamic: true, Size: 65536, Comment: "clients"},
		{Name: "clients-6", Type: plan.TypeIPv6, Map: true, Data: plan.TypeMark, Dynamic: true, Size: 100},
		{Name: "dports", Type: plan.TypePort, Interval: true, Comment: "policy voip",
			Elements: append([]plan.Element{span(plan.TypePort, 5060, 5061)}, single(plan.TypePort, 10000)...)},
		{Name: "dscps", Type: plan.TypeDSCP, Interval: true,
			Elements: append([]plan.Element{span(plan.TypeDSCP, 10, 12)}, single(plan.TypeDSCP, 46)...)},
		{Name: "empty", Type: plan.TypeIPv4, Interval: true},
		{Name: "hits", Type: plan.TypeIPv4, Interval: true, Map: true, Counted: true, Comment: "policies of classify",
			Elements: []plan.Element{
				counting(addrSpan("10.0.0.0", "10.0.0.255"), "policy-voip"), counting(addrSpan("192.0.0.0", "255.255.255.255"), "")}},
		{Name: "macs", Type: plan.TypeEther, Elements: []plan.Element{{From: mac, To: mac}}},
		{Name: "marks", Type: plan.TypeMark, Map: true, Elements: []plan.Element{
			{From: plan.KeyFromUint32(0x12000000), To: plan.KeyFromUint32(0x12000000), Goto: "mark-isp1"}}},
		{Name: "ours", Type: plan.TypeMark, Elements: single(plan.TypeMark, 0x12000000, 0x13000000)},
		{Name: "phones-4", Type: plan.TypeIPv4, Interval: true, Comment: "list phones", Elements: []plan.Element{
			addrSpan("0.0.0.0", "0.255.255.255"), addrSpan("192.168.10.11", "192.168.10.11"),
			addrSpan("192.168.10.32", "192.168.10.47"), addrSpan("192.168.10.60", "192.168.10.70"),
			addrSpan("255.255.255.0", "255.255.255.255")}},
		{Name: "phones-6", Type: plan.TypeIPv6, Interval: true, Comment: "list phones", Elements: []plan.Element{
			addrSpan("2001:db8::1", "2001:db8::5"), addrSpan("fd00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}},
		{Name: "pings", Type: plan.TypeICMPType, Elements: single(plan.TypeICMPType, 0, 8)},
		{Name: "pings6", Type: plan.TypeICMPv6Type, Interval: true, Elements: []plan.Element{span(plan.TypeICMPv6Type, 128, 129)}},
		{Name: "pins", Type: plan.TypeIfname, Map: true, Comment: "uplinks", Elements: names("mark-isp1", "eth1", "eth2")},
		{Name: "protos", Type: plan.TypeProto, Elements: single(plan.TypeProto, 6, 17, 58, 200)},
		{Name: "slots", Type: plan.TypeNumber, Map: true, Interval: true, Elements: []plan.Element{
			jumping(span(plan.TypeNumber, 0, 340)), jumping(span(plan.TypeNumber, 341, 1023))}},
		{Name: "turns", Type: plan.TypeNumber, Map: true, Elements: []plan.Element{jumping(span(plan.TypeNumber, 0, 0)),
			jumping(span(plan.TypeNumber, 1, 1))}},
		{Name: "uids", Type: plan.TypeUID, Interval: true, Elements: []plan.Element{span(plan.TypeUID, 0, 0),
			span(plan.TypeUID, 1000, 1999)}},
		{Name: "uplinks", Type: plan.TypeIfname, Elements: names("", "eth1", "eth2", "odd*")},
		{Name: "wild", Type: plan.TypeIfname, Interval: true, Elements: append(names("", "eth1"), wild)},
		{Name: "x-times", Type: plan.TypeTime, Interval: true, Elements: []plan.Element{
			{From: plan.KeyFromSeconds(1700000000), To: plan.KeyFromSeconds(1700003600)},
			{From: plan.KeyFromSeconds(1800000000), To: plan.KeyFromSeconds(9223372036)}}},
		{Name: "y-gids", Type: plan.TypeGID, Elements: single(plan.TypeGID, 0, 33)},
		{Name: "z_groups", Type: plan.TypeCgroup}, // text has elements by path alone
	}...)
}

func counting(e plan.Element, counter string) plan.Element {
	e.Goto, e.Counter = "mark-isp1", counter
	return e
}

func jumping(e plan.Element) plan.Element {
	e.Goto, e.Jump = "mark-isp1", true
	return e
}

// programCases are matches that only hooks with a socket may have (nft_socket_validate).
func programCases() (out []ruleCase) {
	for level := 1; level <= limits.CgroupLevels; level++ {
		m := inSet(plan.CgroupField(level), "z_groups")
		text := fmt.Sprintf("socket cgroupv2 level %d @z_groups accept", level)
		out = append(out, ruleCase{text, text, rule(ms(m), accept)})
	}
	return out
}

// wideRuleset has every kind of object, field and statement.
func wideRuleset() plan.Ruleset {
	setBits := rule(nil, plan.SetMark{Mask: testMask, Value: 0x12000000}, plan.SetCTMark{Mask: testMask, Value: 0x12000000}, accept)
	setBits.Comment = "table isp1"
	return plan.Ruleset{
		Counters: []plan.Counter{{Name: "policy-voip", Comment: "policy voip"}, {Name: "policy-x"}},
		Sets:     wideSets(),
		Chains: []plan.Chain{
			{Name: "mark-isp1", Rules: []plan.ChainRule{setBits}},
			{Name: "first"},
			{Name: "classify", Rules: commented("match", matchCases())},
			{Name: "act", Rules: commented("action", actionCases())},
			{Name: "choose", Rules: commented("choice", choiceCases())},
			{Name: "prerouting", Kind: "filter", Hook: "prerouting", Priority: -150, Rules: []plan.ChainRule{
				rule(nil, plan.Jump{Chain: "first"})}},
			{Name: "output", Kind: "route", Hook: "output", Priority: -149},
			// "fib saddr . oif" may not be reached from prerouting (nft_fib_validate).
			{Name: "postrouting", Kind: "filter", Hook: "postrouting", Priority: -150, Rules: []plan.ChainRule{
				rule(nil, plan.Jump{Chain: "classify"})}},
			{Name: "nat", Kind: "nat", Hook: "postrouting", Priority: 100, Rules: commented("nat", natCases())},
			{Name: "look", Rules: commented("tuple", tupleCases())},
			{Name: "sent", Rules: commented("program", programCases())},
		},
	}
}

func widePlan() *plan.Plan {
	p := &plan.Plan{
		Mask: testMask, BasePriority: 10000,
		Numbers: []plan.Number{{Name: "default", Table: 100}, {Name: "isp1", Table: 101, Mark: 0x12000000},
			{Name: "isp2", Table: 102, Mark: 0x13000000}},
		Sysctls: []plan.Sysctl{{Path: "net/ipv4/conf/eth1/rp_filter", Value: "2"}, {Path: "net/ipv4/ip_forward", Value: "1"}},
		Routes:  wideRoutes(), Rules: wideRules(), Ruleset: wideRuleset(),
		Deferred: []plan.Deferred{{Object: "uplink isp9", Reason: "interface eth9 does not exist"}},
		Dynamic: []plan.Dynamic{
			{Kind: plan.ConnectedRules, Family: plan.IPv4, Priority: 10001},
			{Kind: plan.ConnectedRules, Family: plan.IPv6, Priority: 10001},
			{Kind: plan.SourceRules, Family: plan.IPv4, Interface: "eth1", Uplink: "isp1", Table: 101, Priority: 10400, MarkMask: testMask},
			{Kind: plan.SourceRules, Family: plan.IPv6, Interface: "eth1", Uplink: "isp1", Table: 101, Priority: 10400, MarkMask: testMask},
		},
	}
	plan.Normalize(p)
	return p
}

func hop(dev, via string) plan.Hop {
	h := plan.Hop{Dev: dev, Weight: 1}
	if via == "auto" {
		h.Auto = true
	} else if via != "" {
		h.Via = netip.MustParseAddr(via)
	}
	return h
}

func route(dst string, table, metric uint32, hops ...plan.Hop) plan.Route {
	p := netip.MustParsePrefix(dst)
	r := plan.Route{Family: plan.IPv4, Table: table, Dst: p, Metric: metric, Kind: plan.Unicast, Hops: hops, Protocol: plan.Protocol}
	if p.Addr().Is6() {
		r.Family = plan.IPv6
	}
	return r
}

func nowhere(kind plan.RouteKind, dst string, table, metric uint32) plan.Route {
	r := route(dst, table, metric)
	r.Kind = kind
	return r
}

// wideRoutes has every form of route, over eth1 (192.0.2.2/24, 2001:db8:1::2/64) and eth2
// (198.51.100.2/24, 2001:db8:2::2/64).
func wideRoutes() []plan.Route {
	onlink := hop("eth2", "203.0.113.1")
	onlink.Onlink = true
	heavy := hop("eth1", "192.0.2.1")
	heavy.Weight = 3
	return []plan.Route{
		route("0.0.0.0/0", 100, 1, heavy, hop("eth2", "198.51.100.1")),
		route("0.0.0.0/0", 100, 2, hop("eth2", "auto")),
		nowhere(plan.Unreachable, "0.0.0.0/0", 100, 4278198272),
		route("0.0.0.0/0", 101, 1, hop("eth1", "192.0.2.1")),
		route("10.0.0.0/8", 101, 1, hop("eth2", "")),
		route("10.1.1.1/32", 101, 1, onlink),
		nowhere(plan.Blackhole, "10.2.0.0/16", 101, 1),
		route("0.0.0.0/0", 102, 1, hop("eth2", "fe80::1")),
		nowhere(plan.Prohibit, "10.2.0.0/16", 102, 1),
		nowhere(plan.Throw, "10.3.0.0/16", 102, 1),
		route("::/0", 100, 1, hop("eth1", "2001:db8:1::1"), hop("eth2", "2001:db8:2::1")),
		route("::/0", 100, 2, hop("eth2", "auto")),
		nowhere(plan.Unreachable, "::/0", 100, 4278198272),
		route("::/0", 101, 1, hop("eth1", "fe80::1")),
		route("2001:db8:ff::/48", 101, 1, hop("eth2", "")),
	}
}

// wideRules has every selector and action of ip rules.
func wideRules() []plan.Rule {
	r := func(f plan.Family, priority uint32, change func(*plan.Rule)) plan.Rule {
		x := plan.Rule{Family: f, Priority: priority, Action: plan.ActLookup, Table: 101, Protocol: plan.Protocol}
		change(&x)
		return x
	}
	pfx := netip.MustParsePrefix
	return []plan.Rule{
		r(plan.IPv4, 10000, func(x *plan.Rule) { x.Table, x.SuppressPrefix = plan.MainTable, 1 }),
		r(plan.IPv4, 10010, func(x *plan.Rule) { x.Mark, x.MarkMask = 0x12000000, testMask }),
		r(plan.IPv4, 10020, func(x *plan.Rule) { x.Src, x.Dst, x.TOS = pfx("10.0.0.0/8"), pfx("192.0.2.0/24"), 0x10 }),
		r(plan.IPv4, 10021, func(x *plan.Rule) { x.IIF, x.OIF, x.Proto = "eth1", "eth2", 6 }),
		r(plan.IPv4, 10022, func(x *plan.Rule) {
			x.Proto, x.SPort, x.DPort = 17, plan.PortRange{From: 53, To: 53}, plan.PortRange{From: 5060, To: 5061}
		}),
		r(plan.IPv4, 10023, func(x *plan.Rule) { x.HasUID, x.UID = true, plan.UIDRange{To: 10} }),
		r(plan.IPv4, 10024, func(x *plan.Rule) {
			x.Invert, x.Src, x.Table, x.Action = true, pfx("10.0.0.0/8"), 0, plan.ActUnreachable
		}),
		r(plan.IPv4, 10025, func(x *plan.Rule) { x.Src, x.Table, x.Action = pfx("10.1.0.0/16"), 0, plan.ActProhibit }),
		r(plan.IPv4, 10026, func(x *plan.Rule) { x.Src, x.Table, x.Action = pfx("10.2.0.0/16"), 0, plan.ActBlackhole }),
		r(plan.IPv4, 10027, func(x *plan.Rule) {
			x.Src, x.Table, x.Action, x.Goto = pfx("10.3.0.0/16"), 0, plan.ActGoto, 10030
		}),
		r(plan.IPv4, 10030, func(x *plan.Rule) { x.Src, x.Table, x.Action = pfx("10.4.0.0/16"), 0, plan.ActNop }),
		r(plan.IPv6, 10000, func(x *plan.Rule) { x.Table, x.SuppressPrefix = plan.MainTable, 1 }),
		r(plan.IPv6, 10010, func(x *plan.Rule) { x.Mark, x.MarkMask = 0x12000000, testMask }),
		r(plan.IPv6, 10020, func(x *plan.Rule) { x.Src, x.Table = pfx("fd00::/8"), 102 }),
		r(plan.IPv6, 10999, func(x *plan.Rule) { x.Table = 100 }),
	}
}
