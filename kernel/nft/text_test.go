//go:build linux

package nft

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// statement is a rule as text and in the plan.
type statement struct {
	text string
	rule plan.ChainRule
}

// statements are those that any chain takes.
var statements = []statement{
	{`iifname "br-lan" accept`, accepted(is(plan.FieldIIFName, str("br-lan")))},
	{`oifname != "br-lan" accept`, accepted(not(is(plan.FieldOIFName, str("br-lan"))))},
	{`iifname "wg*" accept`, accepted(plan.Match{Field: plan.FieldIIFName, Wildcard: true, From: str("wg"), To: str("wg")})},
	{`iifname != "wg*" accept`, accepted(plan.Match{Field: plan.FieldIIFName, Not: true, Wildcard: true, From: str("wg"), To: str("wg")})},
	{`iifname @ifs accept`, accepted(in(plan.FieldIIFName, "ifs"))},
	{`iifname @ifw accept`, accepted(in(plan.FieldIIFName, "ifw"))},
	{`oifname != @ifs accept`, accepted(not(in(plan.FieldOIFName, "ifs")))},
	{`meta nfproto ipv4 accept`, accepted(is(plan.FieldNFProto, u8(2)))},
	{`meta nfproto ipv6 iifname "x" ip6 saddr fd00::1 accept`,
		accepted(is(plan.FieldNFProto, u8(10)), is(plan.FieldIIFName, str("x")), is(plan.FieldIP6SAddr, addr("fd00::1")))},
	{`meta l4proto udp accept`, accepted(is(plan.FieldL4Proto, u8(17)))},
	{`meta l4proto != udp accept`, accepted(not(is(plan.FieldL4Proto, u8(17))))},
	{`meta l4proto @protos accept`, accepted(in(plan.FieldL4Proto, "protos"))},
	{`meta l4proto 6-17 accept`, accepted(within(plan.FieldL4Proto, u8(6), u8(17)))},
	{`ip saddr 10.0.0.1 accept`, accepted(is(plan.FieldIPSAddr, addr("10.0.0.1")))},
	{`ip saddr 10.0.0.0/24 accept`, accepted(within(plan.FieldIPSAddr, addr("10.0.0.0"), addr("10.0.0.255")))},
	{`ip saddr 10.0.16.0/20 accept`, accepted(within(plan.FieldIPSAddr, addr("10.0.16.0"), addr("10.0.31.255")))},
	{`ip saddr != 10.0.16.0/20 accept`, accepted(not(within(plan.FieldIPSAddr, addr("10.0.16.0"), addr("10.0.31.255"))))},
	{`ip saddr != 10.1.0.0/16 accept`, accepted(not(within(plan.FieldIPSAddr, addr("10.1.0.0"), addr("10.1.255.255"))))},
	{`ip saddr 128.0.0.0/1 accept`, accepted(within(plan.FieldIPSAddr, addr("128.0.0.0"), addr("255.255.255.255")))},
	{`ip daddr 0.0.0.0/0 accept`, accepted(within(plan.FieldIPDAddr, addr("0.0.0.0"), addr("255.255.255.255")))},
	{`ip daddr 10.0.0.1-10.0.0.7 accept`, accepted(within(plan.FieldIPDAddr, addr("10.0.0.1"), addr("10.0.0.7")))},
	{`ip daddr != 10.0.0.1-10.0.0.7 accept`, accepted(not(within(plan.FieldIPDAddr, addr("10.0.0.1"), addr("10.0.0.7"))))},
	{`ip saddr @s4 ip daddr != @s4 accept`, accepted(in(plan.FieldIPSAddr, "s4"), not(in(plan.FieldIPDAddr, "s4")))},
	{`ip6 saddr fd00:0:0:1::/64 accept`, accepted(within(plan.FieldIP6SAddr, addr("fd00:0:0:1::"), addr("fd00::1:ffff:ffff:ffff:ffff")))},
	{`ip6 daddr fd00::/61 accept`, accepted(within(plan.FieldIP6DAddr, addr("fd00::"), addr("fd00::7:ffff:ffff:ffff:ffff")))},
	{`ip6 daddr fd00::1-fd00::5 accept`, accepted(within(plan.FieldIP6DAddr, addr("fd00::1"), addr("fd00::5")))},
	{`ip6 daddr @s6 accept`, accepted(in(plan.FieldIP6DAddr, "s6"))},
	{`meta l4proto udp th dport 53 accept`, accepted(is(plan.FieldL4Proto, u8(17)), is(plan.FieldDPort, u16(53)))},
	{`udp dport 53 accept`, accepted(is(plan.FieldL4Proto, u8(17)), is(plan.FieldDPort, u16(53)))},
	{`tcp sport != 53 accept`, accepted(is(plan.FieldL4Proto, u8(6)), not(is(plan.FieldSPort, u16(53))))},
	{`tcp dport 53-60 accept`, accepted(is(plan.FieldL4Proto, u8(6)), within(plan.FieldDPort, u16(53), u16(60)))},
	{`tcp dport != 53-60 accept`, accepted(is(plan.FieldL4Proto, u8(6)), not(within(plan.FieldDPort, u16(53), u16(60))))},
	{`meta l4proto @protos th dport @ports accept`, accepted(in(plan.FieldL4Proto, "protos"), in(plan.FieldDPort, "ports"))},
	{`icmp type echo-request accept`, accepted(is(plan.FieldICMPType, u8(8)))},
	{`icmp type 8-10 accept`, accepted(within(plan.FieldICMPType, u8(8), u8(10)))},
	{`icmp type @it accept`, accepted(in(plan.FieldICMPType, "it"))},
	{`icmpv6 type 133-137 accept`, accepted(within(plan.FieldICMPv6Type, u8(133), u8(137)))},
	{`icmpv6 type != echo-request accept`, accepted(not(is(plan.FieldICMPv6Type, u8(128))))},
	{`icmpv6 type @it6 accept`, accepted(in(plan.FieldICMPv6Type, "it6"))},
	{`ip saddr 1.1.1.1 icmp type echo-request accept`, accepted(is(plan.FieldIPSAddr, addr("1.1.1.1")), is(plan.FieldICMPType, u8(8)))},
	{`meta l4proto icmp icmp type echo-request accept`, accepted(is(plan.FieldL4Proto, u8(1)), is(plan.FieldICMPType, u8(8)))},
	{`meta l4proto icmp ip saddr 1.1.1.1 icmp type echo-request accept`,
		accepted(is(plan.FieldL4Proto, u8(1)), is(plan.FieldIPSAddr, addr("1.1.1.1")), is(plan.FieldICMPType, u8(8)))},
	{`meta l4proto icmp meta nfproto ipv4 icmp type echo-request accept`,
		accepted(is(plan.FieldL4Proto, u8(1)), is(plan.FieldNFProto, u8(2)), is(plan.FieldICMPType, u8(8)))},
	{`ip dscp ef accept`, accepted(is(plan.FieldDSCP4, u8(46)))},
	{`ip dscp != ef accept`, accepted(not(is(plan.FieldDSCP4, u8(46))))},
	{`ip dscp 10-20 accept`, accepted(within(plan.FieldDSCP4, u8(10), u8(20)))},
	{`ip dscp @dscps accept`, accepted(in(plan.FieldDSCP4, "dscps"))},
	{`ip6 dscp ef accept`, accepted(is(plan.FieldDSCP6, u8(46)))},
	{`ip6 dscp 10-20 accept`, accepted(within(plan.FieldDSCP6, u8(10), u8(20)))},
	{`ether saddr 00:11:22:33:44:55 accept`, accepted(is(plan.FieldEtherSAddr, mac(0, 0x11, 0x22, 0x33, 0x44, 0x55)))},
	{`ip saddr 1.1.1.1 ether saddr != @macs ip daddr 1.1.1.2 accept`, accepted(is(plan.FieldIPSAddr, addr("1.1.1.1")),
		not(in(plan.FieldEtherSAddr, "macs")), is(plan.FieldIPDAddr, addr("1.1.1.2")))},
	{`meta priority 0:70 accept`, accepted(is(plan.FieldPriority, u32(0x70)))},
	{`meta priority != 1:2a accept`, accepted(not(is(plan.FieldPriority, u32(0x1002a))))},
	{`ct direction reply meta l4proto udp ct original proto-dst 53 accept`,
		accepted(is(plan.FieldCTDirection, u8(1)), is(plan.FieldL4Proto, u8(17)), is(plan.FieldCTOrigDPort, u16(53)))},
	{`ct direction original meta l4proto tcp ct original proto-dst != 53-54 accept`,
		accepted(is(plan.FieldCTDirection, u8(0)), is(plan.FieldL4Proto, u8(6)), not(within(plan.FieldCTOrigDPort, u16(53), u16(54))))},
	{`meta skuid 33 accept`, accepted(is(plan.FieldSKUID, u32(33)))},
	{`meta skuid 1000-2000 accept`, accepted(within(plan.FieldSKUID, u32(1000), u32(2000)))},
	{`meta skuid != 1000-2000 accept`, accepted(not(within(plan.FieldSKUID, u32(1000), u32(2000))))},
	{`meta skuid @uids accept`, accepted(in(plan.FieldSKUID, "uids"))},
	{`meta skuid != @uidx accept`, accepted(not(in(plan.FieldSKUID, "uidx")))},
	{`meta skgid 33 accept`, accepted(is(plan.FieldSKGID, u32(33)))},
	{`meta skgid 1000-2000 accept`, accepted(within(plan.FieldSKGID, u32(1000), u32(2000)))},
	{`meta time @ztimes accept`, accepted(in(plan.FieldTime, "ztimes"))},
	{`socket cgroupv2 level 2 @zgroups accept`, accepted(in(plan.CgroupField(2), "zgroups"))},
	{`socket cgroupv2 level 8 @zgroups accept`, accepted(in(plan.CgroupField(8), "zgroups"))},
	{`meta skgid @zgids accept`, accepted(in(plan.FieldSKGID, "zgids"))},
	{`meta mark and 0xff000000 == 0x12000000 accept`, accepted(masked(plan.FieldMark, testMask, 0x12000000))},
	{`meta mark and 0xff000000 != 0x0 accept`, accepted(not(masked(plan.FieldMark, testMask, 0)))},
	{`meta mark and 0xffffffff == 0x1 accept`, accepted(masked(plan.FieldMark, 0xffffffff, 1))},
	{`ct mark 5 accept`, accepted(is(plan.FieldCTMark, u32(5)))},
	{`ct mark and 0xff000000 @mk accept`, accepted(plan.Match{Field: plan.FieldCTMark, Mask: testMask, Set: "mk"})},
	{`ct state established,related ct mark and 0xff000000 == 0 accept`,
		accepted(not(masked(plan.FieldCTState, 6, 0)), masked(plan.FieldCTMark, testMask, 0))},
	{`ct state new accept`, accepted(not(masked(plan.FieldCTState, 8, 0)))},
	{`ct status and confirmed == 0 accept`, accepted(masked(plan.FieldCTStatus, 8, 0))},
	{`fib saddr type local accept`, accepted(is(plan.FieldFibSAddrType, u32(2)))},
	{`fib daddr type != local accept`, accepted(not(is(plan.FieldFibDAddrType, u32(2))))},
	{`fib daddr type @fat accept`, accepted(in(plan.FieldFibDAddrType, "fat"))},
	{`meta nfproto @fam accept`, accepted(in(plan.FieldNFProto, "fam"))},
	{`fib saddr . mark . iif oif missing accept`, accepted(is(plan.FieldFibSAddrBack, u32(0)))},
	{`fib saddr . mark . iif oif exists accept`, accepted(is(plan.FieldFibSAddrBack, u32(1)))},
	{`fib saddr . oif type != local accept`, accepted(not(is(plan.FieldFibSAddrOIFType, u32(2))))},
	{`accept comment "a comment"`, plan.ChainRule{Actions: []plan.Action{plan.Accept{}}, Comment: "a comment"}},
	{`counter name "c1" drop`, doing(plan.Count{Counter: "c1"}, plan.Drop{})},
	{`jump m1`, doing(plan.Jump{Chain: "m1"})},
	{`goto m1`, doing(plan.Goto{Chain: "m1"})},
	{`limit rate 10/second burst 20 packets log prefix "pbr:voip "`, doing(plan.Limit{Rate: 10, Burst: 20}, plan.Log{Prefix: "pbr:voip "})},
	{`meta mark set meta mark and 0x00ffffff or 0x12000000 accept`, doing(plan.SetMark{Mask: testMask, Value: 0x12000000}, plan.Accept{})},
	{`ct mark set ct mark and 0x00ffffff or 0x12000000`, doing(plan.SetCTMark{Mask: testMask, Value: 0x12000000})},
	{`ct mark set ct mark and 0x00ffffff`, doing(plan.SetCTMark{Mask: testMask})},
	{`oifname vmap @pins`, doing(plan.VMap{Field: plan.FieldOIFName, Set: "pins"})},
	{`ct mark and 0xff000000 vmap @marks`, doing(plan.VMap{Field: plan.FieldCTMark, Mask: testMask, Set: "marks"})},
	{`iifname "x" meta mark and 0xff000000 vmap @marks`, plan.ChainRule{Matches: []plan.Match{is(plan.FieldIIFName, str("x"))},
		Actions: []plan.Action{plan.VMap{Field: plan.FieldMark, Mask: testMask, Set: "marks"}}}},
	{`meta nfproto ipv4 ip saddr and 255.255.240.0 vmap @v4`,
		inFamily(2, plan.VMap{Field: plan.FieldIPSAddr, Prefix: 20, Set: "v4"})},
	{`ip6 daddr and ffff:ffff:: vmap @v6`, inFamily(10, plan.VMap{Field: plan.FieldIP6DAddr, Prefix: 32, Set: "v6"})},
	{`ip daddr vmap @v4`, inFamily(2, plan.VMap{Field: plan.FieldIPDAddr, Set: "v4"})},
	{`ip saddr . ip daddr . meta l4proto . th dport vmap @t4i`,
		inFamily(2, several("t4i", plan.FieldIPSAddr, plan.FieldIPDAddr, plan.FieldL4Proto, plan.FieldDPort))},
	{`meta nfproto ipv4 meta l4proto @protos ip saddr . th sport vmap @t4`, plan.ChainRule{
		Matches: []plan.Match{is(plan.FieldNFProto, u8(2)), in(plan.FieldL4Proto, "protos")},
		Actions: []plan.Action{several("t4", plan.FieldIPSAddr, plan.FieldSPort)}}},
	{`(ip saddr and 255.255.255.0) . (ip daddr and 255.255.240.0) vmap @t44 accept`, inFamily(2, plan.ConcatVMap{Set: "t44",
		Fields: hashOf(plan.FieldIPSAddr, plan.FieldIPDAddr), Prefixes: [5]uint8{24, 20}}, plan.Accept{})},
	{`ip saddr . (ip daddr and 255.255.240.0) vmap @t44`, inFamily(2, plan.ConcatVMap{Set: "t44",
		Fields: hashOf(plan.FieldIPSAddr, plan.FieldIPDAddr), Prefixes: [5]uint8{0, 20}})},
	{`iifname . ip6 saddr . meta mark . meta skuid . ether saddr vmap @t6`,
		inFamily(10, several("t6", plan.FieldIIFName, plan.FieldIP6SAddr, plan.FieldMark, plan.FieldSKUID, plan.FieldEtherSAddr))},
	{`iifname . ip6 saddr . ct mark . meta skuid . ether saddr vmap @t6`,
		inFamily(10, several("t6", plan.FieldIIFName, plan.FieldIP6SAddr, plan.FieldCTMark, plan.FieldSKUID, plan.FieldEtherSAddr))},
	{`iifname . (ip6 saddr and ffff:ffff:ffff:ff00::) . meta mark . meta skuid . ether saddr vmap @t6i`,
		inFamily(10, plan.ConcatVMap{Set: "t6i",
			Fields:   hashOf(plan.FieldIIFName, plan.FieldIP6SAddr, plan.FieldMark, plan.FieldSKUID, plan.FieldEtherSAddr),
			Prefixes: [5]uint8{0, 56}})},
	{`ip6 saddr . ip6 daddr . meta l4proto . th sport . th dport vmap @t66`, inFamily(10,
		several("t66", plan.FieldIP6SAddr, plan.FieldIP6DAddr, plan.FieldL4Proto, plan.FieldSPort, plan.FieldDPort))},
	{`iifname . oifname vmap @tii`, doing(several("tii", plan.FieldIIFName, plan.FieldOIFName))},
	{`limit rate 1/minute burst 5 packets log prefix "full "`, doing(plan.Limit{Rate: 1, Burst: 5, Minutes: true},
		plan.Log{Prefix: "full "})},
	{`numgen inc mod 3 vmap @slots`, doing(plan.CycleVMap{Mod: 3, Set: "slots"})},
	{`numgen random mod 1024 vmap @slotx`, doing(plan.RandomVMap{Mod: 1024, Set: "slotx"})},
	{`jhash ip saddr mod 1024 seed 0x7 vmap @slots`,
		inFamily(2, plan.HashVMap{Fields: hashOf(plan.FieldIPSAddr), Mod: 1024, Seed: 7, Set: "slots"})},
	{`jhash ip saddr . ip daddr mod 1024 seed 0x0 vmap @slotx`,
		inFamily(2, plan.HashVMap{Fields: hashOf(plan.FieldIPSAddr, plan.FieldIPDAddr), Mod: 1024, Set: "slotx"})},
	{`meta nfproto ipv6 meta l4proto @protos jhash ip6 saddr . ip6 daddr . th sport . th dport . ` +
		`meta l4proto mod 1024 seed 0xdeadbeef vmap @slots`,
		plan.ChainRule{Matches: []plan.Match{is(plan.FieldNFProto, u8(10)), in(plan.FieldL4Proto, "protos")},
			Actions: []plan.Action{plan.HashVMap{
				Fields: hashOf(plan.FieldIP6SAddr, plan.FieldIP6DAddr, plan.FieldSPort, plan.FieldDPort, plan.FieldL4Proto),
				Mod:    1024, Seed: 0xdeadbeef, Set: "slots"}}}},
	{`jhash meta l4proto mod 4 seed 0x1 vmap @slots`,
		doing(plan.HashVMap{Fields: hashOf(plan.FieldL4Proto), Mod: 4, Seed: 1, Set: "slots"})},
	{`meta l4proto @protos jhash th sport mod 4 seed 0x1 vmap @slots`,
		plan.ChainRule{Matches: []plan.Match{in(plan.FieldL4Proto, "protos")},
			Actions: []plan.Action{plan.HashVMap{Fields: hashOf(plan.FieldSPort), Mod: 4, Seed: 1, Set: "slots"}}}},
	{`jhash th dport . meta l4proto mod 16 seed 0x1 vmap @slots`,
		doing(plan.HashVMap{Fields: hashOf(plan.FieldDPort, plan.FieldL4Proto), Mod: 16, Seed: 1, Set: "slots"})},
	{`meta nfproto ipv4 ct mark and 0x00ffffff == 0 ct mark set ip saddr map @clients4`, plan.ChainRule{
		Matches: []plan.Match{is(plan.FieldNFProto, u8(2)), masked(plan.FieldCTMark, ^uint32(testMask), 0)},
		Actions: []plan.Action{plan.RecallCTMark{Field: plan.FieldIPSAddr, Set: "clients4"}}}},
	{`ct mark set ip6 saddr and ffff:ffff:ffff:ffff:: map @clients6`,
		inFamily(10, plan.RecallCTMark{Field: plan.FieldIP6SAddr, Prefix: 64, Set: "clients6"})},
	{`update @clients4 { ip saddr timeout 1h : meta mark and 0xff000000 } accept`, inFamily(2,
		plan.Remember{Field: plan.FieldIPSAddr, Mask: testMask, Timeout: 3600, Set: "clients4"}, plan.Accept{})},
	{`update @clients4 { ip saddr and 255.255.255.0 timeout 90d1h1m1s : meta mark }`, inFamily(2,
		plan.Remember{Field: plan.FieldIPSAddr, Prefix: 24, Mask: 0xffffffff, Timeout: 90*86400 + 3661, Set: "clients4"})},
	{`update @clients6 { ip6 saddr and ffff:ffff:ffff:ffff:: timeout 1d : meta mark and 0xff000000 }`, inFamily(10,
		plan.Remember{Field: plan.FieldIP6SAddr, Prefix: 64, Mask: testMask, Timeout: 86400, Set: "clients6"})},
	{`meta l4proto @protos log group 112 queue-threshold 1`, plan.ChainRule{Matches: []plan.Match{in(plan.FieldL4Proto, "protos")},
		Actions: []plan.Action{plan.LogGroup{Group: 112}}}},
	{`delete @clients4 { ip saddr : meta mark and 0xff000000 }`,
		inFamily(2, plan.Forget{Field: plan.FieldIPSAddr, Mask: testMask, Set: "clients4"})},
	{`delete @clients6 { ip6 saddr and ffff:ffff:ffff:ff00:: : meta mark and 0xff000000 }`, inFamily(10,
		plan.Forget{Field: plan.FieldIP6SAddr, Prefix: 56, Mask: testMask, Set: "clients6"})},
}

// The types of keys of several fields.
var (
	ipPort     = []plan.Type{plan.TypeIPv4, plan.TypePort}
	twoIPs     = []plan.Type{plan.TypeIPv4, plan.TypeIPv4}
	fourFields = []plan.Type{plan.TypeIPv4, plan.TypeIPv4, plan.TypeProto, plan.TypePort}
	fiveFields = []plan.Type{plan.TypeIPv6, plan.TypeIPv6, plan.TypeProto, plan.TypePort, plan.TypePort}
	mixed      = []plan.Type{plan.TypeIfname, plan.TypeIPv6, plan.TypeMark, plan.TypeUID, plan.TypeEther}
	protoPort  = []plan.Type{plan.TypeProto, plan.TypePort}
)

// natStatements need a nat chain.
var natStatements = []statement{
	{`oifname "eth1" masquerade`, plan.ChainRule{Matches: []plan.Match{is(plan.FieldOIFName, str("eth1"))},
		Actions: []plan.Action{plan.Masquerade{}}}},
	{`oifname "eth2" meta nfproto ipv4 snat ip to 203.0.113.7`,
		plan.ChainRule{Matches: []plan.Match{is(plan.FieldOIFName, str("eth2")), is(plan.FieldNFProto, u8(2))},
			Actions: []plan.Action{plan.SNAT{Addr: netip.MustParseAddr("203.0.113.7")}}}},
	{`snat ip6 to 2001:db8::1`, doing(plan.SNAT{Addr: netip.MustParseAddr("2001:db8::1")})},
}

func TestReadOfTextIsThePlan(t *testing.T) {
	want, script := wide()
	n := newNetns(t)
	n.load(script)
	compareRulesets(t, &n.read().Ruleset, want)
}

func TestAppliedListsAsText(t *testing.T) {
	want, script := wide()
	text, ours := newNetns(t), newNetns(t)
	text.load(script)
	live := ours.apply(want)
	t.Run("it lists as the same text does", func(t *testing.T) {
		if got, want := ours.list("table", "inet", "pbr"), text.list("table", "inet", "pbr"); got != want {
			t.Errorf("listing of what was applied differs from that of the same text\n%s", firstDifference(got, want))
		}
	})
	t.Run("it reads as what was wanted, with the handles that Apply says", func(t *testing.T) {
		read := ours.read()
		compareRulesets(t, &read.Ruleset, want)
		if !slices.EqualFunc(live.handles, read.handles, slices.Equal) || live.Generation != read.Generation {
			t.Errorf("Apply says handles %v at %d, the kernel has %v at %d", live.handles, live.Generation, read.handles, read.Generation)
		}
	})
}

// compareRulesets reports what differs, object by object.
func compareRulesets(t *testing.T, got, want *plan.Ruleset) {
	t.Helper()
	if len(got.Foreign) > 0 {
		t.Errorf("foreign objects %q", got.Foreign)
	}
	if !reflect.DeepEqual(got.Counters, want.Counters) {
		t.Errorf("counters\n got %v\nwant %v", got.Counters, want.Counters)
	}
	for i := range max(len(got.Sets), len(want.Sets)) {
		if i >= len(got.Sets) || i >= len(want.Sets) {
			t.Fatalf("%d sets, want %d", len(got.Sets), len(want.Sets))
		}
		if !reflect.DeepEqual(got.Sets[i], want.Sets[i]) {
			t.Errorf("set\n got %+v\nwant %+v", got.Sets[i], want.Sets[i])
		}
	}
	if len(got.Chains) != len(want.Chains) {
		t.Fatalf("%d chains, want %d", len(got.Chains), len(want.Chains))
	}
	for i := range want.Chains {
		g, w := got.Chains[i], want.Chains[i]
		if len(g.Rules) != len(w.Rules) {
			t.Fatalf("chain %s has %d rules, want %d", g.Name, len(g.Rules), len(w.Rules))
		}
		for j := range w.Rules {
			if !g.Rules[j].Equal(&w.Rules[j]) {
				t.Errorf("chain %s rule %d\n got %+v\nwant %+v", w.Name, j+1, g.Rules[j], w.Rules[j])
			}
		}
		g.Rules, w.Rules = nil, nil
		if !reflect.DeepEqual(g, w) {
			t.Errorf("chain\n got %+v\nwant %+v", g, w)
		}
	}
}

// firstDifference shows the first line in which two texts differ, with the line before it.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "got:  " + g[max(0, i-1)] + "\n      " + g[i] + "\nwant: " + w[max(0, i-1)] + "\n      " + w[i]
		}
	}
	return "one is longer"
}
