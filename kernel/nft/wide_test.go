//go:build linux

package nft

import (
	"strings"

	"pbr/compiler/plan"
)

const wideSets = `
	counter c1 { comment "policy voip"; }
	counter c2 { }
	map clients4 { type ipv4_addr : mark; size 65536; flags dynamic,timeout; comment "clients"; }
	map clients6 { type ipv6_addr : mark; size 10; flags dynamic,timeout; }
	set cs { type ct_state; elements = { new, established } }
	set cst { type ct_status; elements = { confirmed } }
	set dscps { type dscp; flags interval; elements = { ef, 10-20 } }
	set fam { type nf_proto; elements = { ipv4 } }
	set fat { type fib_addrtype; elements = { local, broadcast } }
	map h4 { type ipv4_addr : verdict; counter; comment "hits"; elements = { 10.0.0.1 comment "policy-web" : goto m1, 10.0.0.2 : goto m2 } }
	map h4i { type ipv4_addr : verdict; flags interval; counter; elements = { 10.0.0.0/24 comment "policy-web" : goto m1, 192.0.0.0-255.255.255.255 comment "policy-x" : goto m2 } }
	map ht { type ipv4_addr . inet_service : verdict; counter; elements = { 10.0.0.1 . 53 comment "policy-web" : goto m1 } }
	map hti { type ipv4_addr . inet_service : verdict; flags interval; counter; elements = { 10.0.0.0/8 . 53-60 comment "policy-web" : goto m1, 11.0.0.0/8 . 0-65535 : goto m1 } }
	set ifs { type ifname; elements = { "eth1", "eth2" } }
	set ifw { type ifname; flags interval; elements = { "wg*", "eth1" } }
	set it { type icmp_type; elements = { echo-request } }
	set it6 { type icmpv6_type; elements = { 133 } }
	set macs { type ether_addr; elements = { 00:11:22:33:44:55 } }
	map marks { type mark : verdict; elements = { 0x12000000 : goto m1, 0x13000000 : goto m2 } }
	set mk { type mark; elements = { 0x1000000 } }
	map pins { type ifname : verdict; comment "a map"; elements = { "eth1" : goto m1 } }
	set ports { type inet_service; flags interval; elements = { 53, 100-200, 65000-65535 } }
	set protos { type inet_proto; elements = { tcp, udp } }
	set s4 { type ipv4_addr; flags interval; comment "list phones"; elements = { 0.0.0.0/8, 10.0.0.0/24, 10.0.1.0/24, 1.1.1.1, 2.0.0.1-2.0.0.9, 255.0.0.0/8 } }
	set s6 { type ipv6_addr; flags interval; elements = { fd00::/64, fd00:1::5 } }
	map slots { typeof numgen inc mod 1024 : verdict; flags interval; comment "slots"; elements = { 0-511 : jump m1, 512 : jump m2, 513-1023 : jump m1 } }
	map slotx { typeof numgen inc mod 1024 : verdict; flags interval; elements = { 0 : jump m1, 1 : goto m2 } }
	map t4 { type ipv4_addr . inet_service : verdict; elements = { 10.0.0.1 . 53 : goto m1, 10.0.0.1 . 54 : goto m2, 10.0.0.2 . 0 : goto m1 } }
	map t44 { type ipv4_addr . ipv4_addr : verdict; comment "of two prefixes"; elements = { 10.0.0.0 . 10.0.16.0 : goto m1 } }
	map t4i { type ipv4_addr . ipv4_addr . inet_proto . inet_service : verdict; flags interval; comment "layer 0"
		elements = { 10.0.0.0/8 . 0.0.0.0/0 . tcp . 0-65535 : goto m1, 10.0.0.0/8 . 0.0.0.0/0 . udp . 53-60 : goto m2, 11.0.0.1-11.0.0.7 . 1.1.1.1 . 0-255 . 0-65535 : goto m1 } }
	map t6 { type ifname . ipv6_addr . mark . uid . ether_addr : verdict; elements = { "eth0" . fd00::1 . 0x12000000 . 1000 . 00:11:22:33:44:55 : goto m1 } }
	map t66 { type ipv6_addr . ipv6_addr . inet_proto . inet_service . inet_service : verdict; flags interval
		elements = { fd00::/16 . ::/0 . udp . 0-65535 . 53 : goto m1 } }
	map t6i { type ifname . ipv6_addr . mark . uid . ether_addr : verdict; flags interval
		elements = { "eth0" . fd00:0:0:100::/56 . 0x0-0xffffffff . 33 . 00:11:22:33:44:55-00:11:22:33:44:ff : goto m2, "wg*" . fd00::/56 . 0x10-0x12000000 . 1000-2000 . 00:11:22:33:44:55 : goto m1 } }
	set ti { type inet_proto . inet_service; flags interval; elements = { tcp . 80-90, udp . 0-65535 } }
	map tii { type ifname . ifname : verdict; elements = { "eth1" . "eth2" : goto m1 } }
	set uids { type uid; flags interval; elements = { 33, 1000-2000 } }
	set uidx { type uid; elements = { 33 } }
	map v4 { type ipv4_addr : verdict; elements = { 10.0.16.0 : goto m1 } }
	map v6 { type ipv6_addr : verdict; elements = { fd00:: : goto m1 } }
	set zgids { type gid; elements = { 33 } }
	set zgroups { type cgroupsv2; }
	set ztimes { typeof meta time; flags interval; elements = { 1700000000-1700003600, 1800000000-9223372036 } }
`

// wide is a table with every kind of object, match and action, as a plan and as text.
func wide() (*plan.Ruleset, string) { return wideOf(statements) }

// wideOf is wide with some of the statements only.
func wideOf(list []statement) (*plan.Ruleset, string) {
	r := &plan.Ruleset{
		Counters: []plan.Counter{{Name: "c1", Comment: "policy voip"}, {Name: "c2"}},
		Sets: []plan.Set{
			{Name: "clients4", Type: plan.TypeIPv4, Map: true, Data: plan.TypeMark, Dynamic: true, Size: 65536, Comment: "clients"},
			{Name: "clients6", Type: plan.TypeIPv6, Map: true, Data: plan.TypeMark, Dynamic: true, Size: 10},
			{Name: "cs", Type: plan.TypeCTState, Elements: []plan.Element{el(u32(2)), el(u32(8))}},
			{Name: "cst", Type: plan.TypeCTStatus, Elements: []plan.Element{el(u32(8))}},
			{Name: "dscps", Type: plan.TypeDSCP, Interval: true, Elements: []plan.Element{span(u8(10), u8(20)), el(u8(46))}},
			{Name: "fam", Type: plan.TypeNFProto, Elements: []plan.Element{el(u8(2))}},
			{Name: "fat", Type: plan.TypeFibAddrType, Elements: []plan.Element{el(u32(2)), el(u32(3))}},
			{Name: "h4", Type: plan.TypeIPv4, Map: true, Counted: true, Comment: "hits", Elements: []plan.Element{
				counting(going(el(addr("10.0.0.1")), "m1"), "policy-web"), going(el(addr("10.0.0.2")), "m2")}},
			{Name: "h4i", Type: plan.TypeIPv4, Interval: true, Map: true, Counted: true, Elements: []plan.Element{
				counting(going(span(addr("10.0.0.0"), addr("10.0.0.255")), "m1"), "policy-web"),
				counting(going(span(addr("192.0.0.0"), addr("255.255.255.255")), "m2"), "policy-x")}},
			{Name: "ht", Concat: ipPort, Map: true, Counted: true,
				Tuples: []plan.Tuple{countingTuple(tuple(ipPort, "m1", one(addr("10.0.0.1")), one(u16(53))), "policy-web")}},
			{Name: "hti", Concat: ipPort, Interval: true, Map: true, Counted: true, Tuples: []plan.Tuple{
				countingTuple(tuple(ipPort, "m1", between("10.0.0.0", "10.255.255.255"),
					plan.Span{From: u16(53), To: u16(60)}), "policy-web"),
				tuple(ipPort, "m1", between("11.0.0.0", "11.255.255.255"), plan.AllOf(plan.TypePort))}},
			{Name: "ifs", Type: plan.TypeIfname, Elements: []plan.Element{el(str("eth1")), el(str("eth2"))}},
			{Name: "ifw", Type: plan.TypeIfname, Interval: true, Elements: []plan.Element{el(str("eth1")), wildcard("wg")}},
			{Name: "it", Type: plan.TypeICMPType, Elements: []plan.Element{el(u8(8))}},
			{Name: "it6", Type: plan.TypeICMPv6Type, Elements: []plan.Element{el(u8(133))}},
			{Name: "macs", Type: plan.TypeEther, Elements: []plan.Element{el(mac(0, 0x11, 0x22, 0x33, 0x44, 0x55))}},
			{Name: "marks", Type: plan.TypeMark, Map: true, Elements: []plan.Element{going(el(u32(0x12000000)), "m1"),
				going(el(u32(0x13000000)), "m2")}},
			{Name: "mk", Type: plan.TypeMark, Elements: []plan.Element{el(u32(0x1000000))}},
			{Name: "pins", Type: plan.TypeIfname, Map: true, Comment: "a map", Elements: []plan.Element{going(el(str("eth1")), "m1")}},
			{Name: "ports", Type: plan.TypePort, Interval: true,
				Elements: []plan.Element{el(u16(53)), span(u16(100), u16(200)), span(u16(65000), u16(65535))}},
			{Name: "protos", Type: plan.TypeProto, Elements: []plan.Element{el(u8(6)), el(u8(17))}},
			{Name: "s4", Type: plan.TypeIPv4, Interval: true, Comment: "list phones", Elements: []plan.Element{
				span(addr("0.0.0.0"), addr("0.255.255.255")), el(addr("1.1.1.1")),
				span(addr("2.0.0.1"), addr("2.0.0.9")), span(addr("10.0.0.0"), addr("10.0.0.255")),
				span(addr("10.0.1.0"), addr("10.0.1.255")), span(addr("255.0.0.0"), addr("255.255.255.255"))}},
			{Name: "s6", Type: plan.TypeIPv6, Interval: true, Elements: []plan.Element{
				span(addr("fd00::"), addr("fd00::ffff:ffff:ffff:ffff")), el(addr("fd00:1::5"))}},
			{Name: "slots", Type: plan.TypeNumber, Map: true, Interval: true, Comment: "slots", Elements: []plan.Element{
				jumping(span(u32(0), u32(511)), "m1"), jumping(el(u32(512)), "m2"), jumping(span(u32(513), u32(1023)), "m1")}},
			{Name: "slotx", Type: plan.TypeNumber, Map: true, Interval: true,
				Elements: []plan.Element{jumping(el(u32(0)), "m1"), going(el(u32(1)), "m2")}},
			{Name: "t4", Concat: ipPort, Map: true, Tuples: []plan.Tuple{
				tuple(ipPort, "m1", one(addr("10.0.0.1")), one(u16(53))), tuple(ipPort, "m2", one(addr("10.0.0.1")), one(u16(54))),
				tuple(ipPort, "m1", one(addr("10.0.0.2")), one(u16(0)))}},
			{Name: "t44", Concat: twoIPs, Map: true, Comment: "of two prefixes", Tuples: []plan.Tuple{
				tuple(twoIPs, "m1", one(addr("10.0.0.0")), one(addr("10.0.16.0")))}},
			{Name: "t4i", Concat: fourFields, Interval: true, Map: true, Comment: "layer 0", Tuples: []plan.Tuple{
				tuple(fourFields, "m1", between("10.0.0.0", "10.255.255.255"), plan.AllOf(plan.TypeIPv4), one(u8(6)),
					plan.AllOf(plan.TypePort)),
				tuple(fourFields, "m2", between("10.0.0.0", "10.255.255.255"), plan.AllOf(plan.TypeIPv4), one(u8(17)),
					plan.Span{From: u16(53), To: u16(60)}),
				tuple(fourFields, "m1", between("11.0.0.1", "11.0.0.7"), one(addr("1.1.1.1")),
					plan.AllOf(plan.TypeProto), plan.AllOf(plan.TypePort))}},
			{Name: "t6", Concat: mixed, Map: true, Tuples: []plan.Tuple{
				tuple(mixed, "m1", one(str("eth0")), one(addr("fd00::1")), one(u32(0x12000000)), one(u32(1000)),
					one(mac(0, 0x11, 0x22, 0x33, 0x44, 0x55)))}},
			{Name: "t66", Concat: fiveFields, Interval: true, Map: true, Tuples: []plan.Tuple{
				tuple(fiveFields, "m1", between("fd00::", "fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
					plan.AllOf(plan.TypeIPv6), one(u8(17)), plan.AllOf(plan.TypePort), one(u16(53)))}},
			{Name: "t6i", Concat: mixed, Interval: true, Map: true, Tuples: []plan.Tuple{
				tuple(mixed, "m2", one(str("eth0")), between("fd00:0:0:100::", "fd00::1ff:ffff:ffff:ffff:ffff"),
					plan.AllOf(plan.TypeMark), one(u32(33)),
					plan.Span{From: mac(0, 0x11, 0x22, 0x33, 0x44, 0x55), To: mac(0, 0x11, 0x22, 0x33, 0x44, 0xff)}),
				tuple(mixed, "m1", plan.Span{From: wildcard("wg").From, To: wildcard("wg").To},
					between("fd00::", "fd00::ff:ffff:ffff:ffff:ffff"), plan.Span{From: u32(0x10), To: u32(0x12000000)},
					plan.Span{From: u32(1000), To: u32(2000)}, one(mac(0, 0x11, 0x22, 0x33, 0x44, 0x55)))}},
			{Name: "ti", Concat: protoPort, Interval: true, Tuples: []plan.Tuple{
				tuple(protoPort, "", one(u8(6)), plan.Span{From: u16(80), To: u16(90)}),
				tuple(protoPort, "", one(u8(17)), plan.AllOf(plan.TypePort))}},
			{Name: "tii", Concat: []plan.Type{plan.TypeIfname, plan.TypeIfname}, Map: true, Tuples: []plan.Tuple{
				tuple([]plan.Type{plan.TypeIfname, plan.TypeIfname}, "m1", one(str("eth1")), one(str("eth2")))}},
			{Name: "uids", Type: plan.TypeUID, Interval: true, Elements: []plan.Element{el(u32(33)), span(u32(1000), u32(2000))}},
			{Name: "uidx", Type: plan.TypeUID, Elements: []plan.Element{el(u32(33))}},
			{Name: "v4", Type: plan.TypeIPv4, Map: true, Elements: []plan.Element{going(el(addr("10.0.16.0")), "m1")}},
			{Name: "v6", Type: plan.TypeIPv6, Map: true, Elements: []plan.Element{going(el(addr("fd00::")), "m1")}},
			{Name: "zgids", Type: plan.TypeGID, Elements: []plan.Element{el(u32(33))}},
			{Name: "zgroups", Type: plan.TypeCgroup},
			{Name: "ztimes", Type: plan.TypeTime, Interval: true, Elements: []plan.Element{
				{From: plan.KeyFromSeconds(1700000000), To: plan.KeyFromSeconds(1700003600)},
				{From: plan.KeyFromSeconds(1800000000), To: plan.KeyFromSeconds(9223372036)}}},
		},
		Chains: []plan.Chain{
			{Name: "m1", Rules: []plan.ChainRule{accepted()}},
			{Name: "m2"},
			{Name: "r"},
			{Name: "pre", Kind: "filter", Hook: "prerouting", Priority: -150},
			{Name: "out", Kind: "route", Hook: "output", Priority: -150},
			{Name: "through", Kind: "filter", Hook: "forward", Priority: 5},
			{Name: "nat", Kind: "nat", Hook: "postrouting", Priority: 100},
		},
	}
	var b strings.Builder
	b.WriteString("table inet pbr {\n" + wideSets + "chain m1 { accept\n }\nchain m2 { }\nchain r {\n")
	for _, s := range list {
		b.WriteString(s.text + "\n")
		r.Chains[2].Rules = append(r.Chains[2].Rules, s.rule)
	}
	b.WriteString(`}
chain pre { type filter hook prerouting priority mangle; policy accept; }
chain out { type route hook output priority mangle; }
chain through { type filter hook forward priority 5; }
chain nat { type nat hook postrouting priority srcnat;
`)
	for _, s := range natStatements {
		b.WriteString(s.text + "\n")
		r.Chains[6].Rules = append(r.Chains[6].Rules, s.rule)
	}
	b.WriteString("}\n}\n")
	return r, b.String()
}
