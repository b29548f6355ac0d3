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
		r := plan.Rule{Family: plan.IPv4, Priority: uint32(10300 + i), Action: plan.ActLookup,
			Table: uint32(100 + rng.IntN(3)), Protocol: plan.Protocol}
		r.Src = netip.PrefixFrom(host(rng.IntN(hosts)), 29+rng.IntN(4)).Masked()
		if rng.IntN(3) == 0 {
			r.Action, r.Table = plan.ActBlackhole, 0
		}
		l = append(l, r)
	}
	return l
}

// ruleStep is one rule that comes or goes.
type ruleStep struct {
	rule plan.Rule
	add  bool
}

// steps are the changes of an order, one by one.
func (o ruleOrder) steps() (out []ruleStep) {
	for _, part := range []struct {
		rules []plan.Rule
		add   bool
	}{{o.unskip, false}, {o.add, true}, {o.del, false}, {o.skip, true}} {
		for _, r := range part.rules {
			out = append(out, ruleStep{r, part.add})
		}
	}
	return out
}

func (l *ruleList) do(s ruleStep) {
	if s.add {
		l.add(s.rule)
	} else {
		l.del(s.rule)
	}
}

// between does all steps, and then undoes them, and calls check after each.
func between(live *ruleList, steps []ruleStep, check func(plan.Rule), end func()) {
	for _, s := range steps {
		live.do(s)
		check(s.rule)
	}
	end()
	for _, s := range slices.Backward(steps) {
		live.do(ruleStep{s.rule, !s.add})
		check(s.rule)
	}
}

// TestRulesBetween looks at every state between two lists of rules: each packet has to be treated
// as before or as in the end.
func TestRulesBetween(t *testing.T) {
	isp2 := plan.Rule{Family: plan.IPv4, Priority: 10300, Src: netip.MustParsePrefix("10.0.0.1/32"),
		Action: plan.ActLookup, Table: 102, Protocol: plan.Protocol}
	drop := plan.Rule{Family: plan.IPv4, Priority: 10301, Src: netip.MustParsePrefix("10.0.0.0/29"),
		Action: plan.ActBlackhole, Protocol: plan.Protocol}
	more := plan.Rule{Family: plan.IPv4, Priority: 10300, Src: netip.MustParsePrefix("10.0.0.7/32"),
		Action: plan.ActLookup, Table: 101, Protocol: plan.Protocol}
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
					t.Fatalf("seed %d: from %v\nto %v\nafter %v\npackets of %s meet %s, not %s or %s", seed, have,
						want, after, host(i), got, old, next)
				}
			}
		}
		order := orderRules(plan.Diff(&plan.Plan{Rules: have}, &plan.Plan{Rules: want}).Rules)
		between(&live, order.steps(), check, func() {
			if !slices.Equal(live, want) {
				t.Fatalf("seed %d: from %v\nto %v\nends with %v", seed, have, want, live)
			}
		})
	}
}

// steer is the table that a packet with a mark comes to: that of the first rule that selects it. A
// goto leads to the first rule of its priority, and nowhere if there is none.
func (l ruleList) steer(mark uint32) uint32 {
	for i := 0; i < len(l); i++ {
		r := l[i]
		if mark&r.MarkMask != r.Mark {
			continue
		}
		switch r.Action {
		case plan.ActLookup:
			return r.Table
		case plan.ActGoto:
			if to := slices.IndexFunc(l, func(x plan.Rule) bool { return x.Priority == r.Goto }); to >= 0 {
				i = to - 1
			}
		}
	}
	return 0
}

// marks are those of the packets below.
const marks = 64

// randomSkips makes a list of lookups by mark under one of two masks, and of gotos that skip no
// rule which their packets would match.
func randomSkips(rng *rand.Rand) ruleList {
	const base, end = 10100, 10112
	mask := []uint32{0x0f, 0x3c}[rng.IntN(2)]
	var l ruleList
	for range rng.IntN(12) {
		r := plan.Rule{Family: plan.IPv4, Mark: rng.Uint32() & mask, MarkMask: mask, Action: plan.ActLookup, Protocol: plan.Protocol}
		r.Priority, r.Table = base+(r.Mark*7+r.Mark>>2)%11, 100+r.Mark
		if r.Mark != 0 && !slices.Contains(l, r) {
			l.add(r)
		}
	}
	l.add(plan.Rule{Family: plan.IPv4, Priority: end, Action: plan.ActNop, Protocol: plan.Protocol})
	lookups := slices.Clone(l)
	for range 40 {
		g := plan.Rule{Family: plan.IPv4, Action: plan.ActGoto, MarkMask: rng.Uint32() & mask, Protocol: plan.Protocol}
		g.Mark, g.Priority = rng.Uint32()&g.MarkMask, uint32(base+rng.IntN(end-base))
		g.Goto = g.Priority + 1 + uint32(rng.IntN(int(end-g.Priority)))
		skipsMatch := slices.ContainsFunc(lookups, func(r plan.Rule) bool {
			return r.Action == plan.ActLookup && r.Priority >= g.Priority && r.Priority < g.Goto && r.Mark&g.MarkMask == g.Mark
		})
		if !skipsMatch && !slices.Contains(l, g) {
			l.add(g)
		}
	}
	return l
}

// TestSkipsBetween is TestRulesBetween for rules by marks with gotos. Besides, marks of the old
// plan are used until all new rules are there, and those of the new one from then on: none may come
// to nothing then.
func TestSkipsBetween(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 60 {
		have, want := randomSkips(rng), randomSkips(rng)
		order := orderRules(plan.Diff(&plan.Plan{Rules: have}, &plan.Plan{Rules: want}).Rules)
		live := slices.Clone(have)
		done, switched := 0, len(order.unskip)+len(order.add)
		undoing := false
		check := func(after plan.Rule) {
			for mark := range uint32(marks) {
				got, old, next := live.steer(mark), have.steer(mark), want.steer(mark)
				needed := old
				if done >= switched {
					needed = next
				}
				if !undoing && got == 0 && needed != 0 || got != old && got != next {
					t.Fatalf("seed %d: from %v\nto %v\nafter %v, step %d of %d, rules added at %d\n"+
						"packets of mark %#x meet %d; before %d, in the end %d\n%v",
						seed, have, want, after, done, len(order.steps()), switched, mark, got, old, next, live)
				}
			}
			done++
		}
		between(&live, order.steps(), check, func() { undoing = true })
	}
}
