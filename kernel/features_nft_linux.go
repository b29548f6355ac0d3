package kernel

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

// trial is a ruleset that loads if the kernel has the feature.
type trial struct {
	name    facts.FeatureName
	ruleset plan.Ruleset
}

// trySourceNAT is where the kernel has source NAT (linux/netfilter_ipv4.h).
const trySourceNAT = 100

// trials starts with the ruleset that all others need.
func trials() []trial {
	key := plan.KeyFromUint32
	single := func(v uint32, chain string) plan.Element { return plan.Element{From: key(v), To: key(v), Goto: chain} }
	filter := func(m []plan.Match, a ...plan.Action) plan.Ruleset {
		return tryChain("filter", "prerouting", plan.PriorityMangle, m, a...)
	}
	var accept plan.Action = plan.Accept{}
	ipv4 := []plan.Match{{Field: plan.FieldNFProto, From: plan.KeyFromUint8(unix.NFPROTO_IPV4), To: plan.KeyFromUint8(unix.NFPROTO_IPV4)}}
	choose := func(a plan.Action) plan.Ruleset {
		r := filter(ipv4, a)
		r.Sets = []plan.Set{{Name: "numbers", Type: plan.TypeNumber, Map: true,
			Elements: []plan.Element{single(0, "end"), single(1, "end")}}}
		r.Chains = append([]plan.Chain{{Name: "end"}}, r.Chains...)
		return r
	}
	interval := filter([]plan.Match{{Field: plan.FieldIPSAddr, Set: "addresses"}}, accept)
	interval.Sets = []plan.Set{{Name: "addresses", Type: plan.TypeIPv4, Interval: true, Elements: []plan.Element{
		{From: plan.KeyFromAddr(netip.MustParseAddr("192.0.2.0")), To: plan.KeyFromAddr(netip.MustParseAddr("192.0.2.9"))},
	}}}
	types := []plan.Type{plan.TypeIPv4, plan.TypeIPv4}
	concat := filter(ipv4, plan.ConcatVMap{Fields: plan.FieldList{plan.FieldIPSAddr, plan.FieldIPDAddr}, Set: "pairs"})
	concat.Sets = []plan.Set{{Name: "pairs", Concat: types, Interval: true, Map: true, Tuples: []plan.Tuple{
		plan.PackTuple(types, []plan.Span{plan.AllOf(plan.TypeIPv4), plan.AllOf(plan.TypeIPv4)}, "end"),
	}}}
	concat.Chains = append([]plan.Chain{{Name: "end"}}, concat.Chains...)
	dynamic := filter(ipv4, plan.Remember{Set: "clients", Field: plan.FieldIPSAddr, Mask: ^uint32(0), Timeout: 60})
	dynamic.Sets = []plan.Set{{Name: "clients", Type: plan.TypeIPv4, Map: true, Data: plan.TypeMark, Dynamic: true, Size: 16}}
	offload := tryChain("filter", "forward", 0, nil, plan.Offload{Flowtable: "flows"})
	offload.Flowtables = []plan.Flowtable{{Name: "flows"}}
	cgroups := tryChain("filter", "output", 0, []plan.Match{{Field: plan.CgroupField(1), Set: "groups"}}, accept)
	cgroups.Sets = []plan.Set{{Name: "groups", Type: plan.TypeCgroup}}
	counted := filter(nil, plan.Count{Counter: "packets"}, accept)
	counted.Counters = []plan.Counter{{Name: "packets"}}
	hash := plan.HashVMap{Fields: plan.FieldList{plan.FieldIPSAddr, plan.FieldIPDAddr}, Mod: 2, Set: "numbers"}
	return []trial{
		{facts.NFTables, counted},
		{facts.Conntrack, filter([]plan.Match{{Field: plan.FieldCTState, Mask: 8, Not: true}}, plan.SetCTMark{Mask: 1, Value: 1})},
		{facts.Fib, filter([]plan.Match{{Field: plan.FieldFibDAddrType, From: key(unix.RTN_LOCAL), To: key(unix.RTN_LOCAL)}}, accept)},
		{facts.Intervals, interval},
		{facts.Concat, concat},
		{facts.RouteChain, tryChain("route", "output", plan.PriorityMangle, nil, plan.SetMark{Mask: 1, Value: 1})},
		{facts.NAT, tryChain("nat", "postrouting", trySourceNAT, nil, accept)},
		{facts.Masquerade, tryChain("nat", "postrouting", trySourceNAT, nil, plan.Masquerade{})},
		{facts.SNAT, tryChain("nat", "postrouting", trySourceNAT, nil, plan.SNAT{Addr: netip.MustParseAddr("192.0.2.1")})},
		{facts.Log, filter(nil, plan.Log{Prefix: "pbr "}, accept)},
		{facts.Limit, filter(nil, plan.Limit{Rate: 1, Burst: 5}, accept)},
		{facts.Hash, choose(hash)},
		{facts.Numgen, choose(plan.CycleVMap{Mod: 2, Set: "numbers"})},
		{facts.Dynamic, dynamic},
		{facts.Flowtable, offload},
		{facts.Cgroups, cgroups},
	}
}

// tryChain returns a ruleset of one base chain with one rule.
func tryChain(kind, hook string, priority int32, matches []plan.Match, actions ...plan.Action) plan.Ruleset {
	return plan.Ruleset{Chains: []plan.Chain{{Name: "try", Kind: kind, Hook: hook, Priority: priority, Rules: []plan.ChainRule{
		{Matches: matches, Actions: actions},
	}}}}
}
