package kernel

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pbr/compiler/plan"
)

// ruleList is the kernel's list of ip rules: a new one comes behind those of its priority.
type ruleList []plan.Rule

func (l *ruleList) add(r plan.Rule) {
	at, _ := slices.BinarySearchFunc(*l, r.Priority+1, func(r plan.Rule, p uint32) int { return cmp.Compare(r.Priority, p) })
	*l = slices.Insert(*l, at, r)
}

func (l *ruleList) del(r plan.Rule) {
	at := slices.Index(*l, r)
	*l = slices.Delete(*l, at, at+1)
}

// verdict is what the first rule that selects a source address does with it.
func (l ruleList) verdict(src netip.Addr) string {
	for _, r := range l {
		if r.Src.Contains(src) {
			return fmt.Sprint(r.Action, r.Table)
		}
	}
	return "none"
}

// hosts are the sources of a rule list's packets: 10.0.0.0 to 10.0.0.7.
const hosts = 8

func host(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }

// randomRules makes a list with one rule a priority, of lookups and drops of nested sources.
func randomRules(rng *rand.Rand) ruleList {
	var l ruleList
	for i := range rng.IntN(6) {
		r := plan.Rule{Family: plan.IPv4, Priority: uint32(10300 + i), Action: plan.ActLookup, Table: uint32(100 + rng.IntN(3)), Protocol: plan.Protocol}
		r.Src = netip.PrefixFrom(host(rng.IntN(hosts)), 29+rng.IntN(4)).Masked()
		if rng.IntN(3) == 0 {
			r.Action, r.Table = plan.ActBlackhole, 0
		}
		l = append(l, r)
	}
	return l
}

// TestRulesBetween looks at every state between two lists of rules: each packet has to be treated as before or as in the end.
func TestRulesBetween(t *testing.T) {
	isp2 := plan.Rule{Family: plan.IPv4, Priority: 10300, Src: netip.MustParsePrefix("10.0.0.1/32"), Action: plan.ActLookup, Table: 102, Protocol: plan.Protocol}
	drop := plan.Rule{Family: plan.IPv4, Priority: 10301, Src: netip.MustParsePrefix("10.0.0.0/29"), Action: plan.ActBlackhole, Protocol: plan.Protocol}
	more := plan.Rule{Family: plan.IPv4, Priority: 10300, Src: netip.MustParsePrefix("10.0.0.7/32"), Action: plan.ActLookup, Table: 101, Protocol: plan.Protocol}
	later := func(r plan.Rule) plan.Rule { r.Priority++; return r }
	pairs := [][2]ruleList{{{isp2, drop}, {more, later(isp2), later(drop)}}, {{more, later(isp2), later(drop)}, {isp2, drop}}}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 3000 {
		pairs = append(pairs, [2]ruleList{randomRules(rng), randomRules(rng)})
	}
	for _, pair := range pairs {
		have, want := pair[0], pair[1]
		live := slices.Clone(have)
		check := func(after plan.Rule) {
			for i := range hosts {
				if got, old, next := live.verdict(host(i)), have.verdict(host(i)), want.verdict(host(i)); got != old && got != next {
					t.Fatalf("seed %d: from %v\nto %v\nafter %v\npackets of %s meet %s, not %s or %s", seed, have, want, after, host(i), got, old, next)
				}
			}
		}
		add, del := orderRules(plan.Diff(&plan.Plan{Rules: have}, &plan.Plan{Rules: want}).Rules)
		for _, r := range add {
			live.add(r)
			check(r)
		}
		for _, r := range del {
			live.del(r)
			check(r)
		}
		if !slices.Equal(live, want) {
			t.Fatalf("seed %d: from %v\nto %v\nends with %v", seed, have, want, live)
		}
		// Undone half-way or at the end, last step first.
		for _, r := range slices.Backward(del) {
			live.add(r)
			check(r)
		}
		for _, r := range slices.Backward(add) {
			live.del(r)
			check(r)
		}
	}
}
