//go:build linux

package nft

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/race"
)

// randomRuleset is a variation of wide: other elements, rules in another order, chains and counters
// that come and go.
func randomRuleset(rng *rand.Rand) *plan.Ruleset {
	r, _ := wide()
	some := func() bool { return rng.IntN(2) == 0 }
	r.Counters = []plan.Counter{{Name: "c1", Comment: fmt.Sprint("comment ", rng.IntN(3)/2)}}
	for i := 2; i < 10; i++ {
		if some() {
			r.Counters = append(r.Counters, plan.Counter{Name: fmt.Sprint("c", i), Comment: []string{"", "x"}[rng.IntN(2)]})
		}
	}
	targets := []string{"m1", "m2"}
	if some() {
		targets = append(targets, "m3")
		r.Chains = append(r.Chains, plan.Chain{Name: "m3", Rules: []plan.ChainRule{
			doing(plan.Count{Counter: r.Counters[len(r.Counters)-1].Name}, plan.Goto{Chain: "m2"})}})
	}
	for i := range r.Sets {
		randomSet(rng, &r.Sets[i], targets)
	}
	for i := range 4 {
		if some() {
			s := plan.Set{Name: fmt.Sprint("zz", i), Type: plan.TypeIPv4, Interval: some(), Comment: []string{"", "list"}[rng.IntN(2)]}
			randomSet(rng, &s, targets)
			r.Sets = append(r.Sets, s)
		}
	}
	// The kernel takes no socket match in a forward chain (nft_socket_validate).
	anywhere := slices.DeleteFunc(slices.Clone(statements), func(s statement) bool {
		return slices.ContainsFunc(s.rule.Matches, func(m plan.Match) bool { return m.Field.CgroupLevel() > 0 })
	})
	rules := func(n int) []plan.ChainRule {
		out := make([]plan.ChainRule, n)
		for i := range out {
			out[i] = anywhere[rng.IntN(len(anywhere))].rule
			if some() {
				out[i].Comment = fmt.Sprint("policy ", rng.IntN(40))
			}
		}
		return out
	}
	r.Chains[0].Rules = slices.Clone(r.Chains[0].Rules[:rng.IntN(2)])
	list := slices.Clone(r.Chains[2].Rules)
	for range rng.IntN(6) {
		at := rng.IntN(len(list))
		list = slices.Insert(slices.Delete(list, at, at+1), rng.IntN(len(list)), rules(rng.IntN(3))...)
	}
	r.Chains[2].Rules = list
	for i := range 5 {
		ch := plan.Chain{Name: fmt.Sprint("x", i), Rules: rules(rng.IntN(5))}
		switch rng.IntN(3) {
		case 0:
			continue
		case 1:
			ch.Kind, ch.Hook, ch.Priority = "filter", "forward", int32(rng.IntN(2))
		}
		r.Chains = append(r.Chains, ch)
	}
	return r
}

// randomSet omits elements, and gives address and port sets new ones.
func randomSet(rng *rand.Rand, s *plan.Set, targets []string) {
	if s.Dynamic {
		s.Size = 10 + rng.Uint32N(2)
		return
	}
	if len(s.Concat) > 0 {
		randomTuples(rng, s, targets)
		return
	}
	s.Elements = slices.DeleteFunc(slices.Clone(s.Elements), func(plan.Element) bool { return rng.IntN(3) == 0 })
	for i := range s.Elements {
		if s.Map {
			s.Elements[i].Goto = targets[rng.IntN(len(targets))]
			s.Elements[i].Jump = rng.IntN(2) == 0
			s.Elements[i].Counter = randomCounter(rng, s)
		}
	}
	if s.Name == "uids" && rng.IntN(4) == 0 {
		s.Interval = false
		s.Elements = []plan.Element{el(u32(5))}
	}
	if s.Type != plan.TypeIPv4 {
		return
	}
	if s.Map {
		return
	}
	// Addresses of a small space, so that intervals of one set meet and cut those of the next.
	s.Elements = nil
	for at := rng.IntN(20); at < 250; at += 1 + rng.IntN(20) {
		end := at
		if s.Interval {
			end += rng.IntN(12)
		}
		key := func(v int) plan.Key {
			return plan.KeyFromAddr(netip.AddrFrom4([4]byte{byte(255 * (v / 200)), 255, 255, byte(v)}))
		}
		if end > 255 || at/200 != end/200 {
			break
		}
		s.Elements = append(s.Elements, span(key(at), key(end)))
		at = end
	}
	if s.Interval && rng.IntN(2) == 0 {
		s.Elements = append(s.Elements, span(addr("255.255.255.254"), addr("255.255.255.255")))
	}
	slices.SortFunc(s.Elements, func(a, b plan.Element) int { return a.From.Compare(b.From) })
	if n := len(s.Elements); n > 1 && s.Elements[n-2].To.Compare(s.Elements[n-1].From) >= 0 {
		s.Elements = s.Elements[:n-1]
	}
}

// randomCounter is what an element of a set counts for, empty for nothing.
func randomCounter(rng *rand.Rand, s *plan.Set) string {
	if !s.Counted {
		return ""
	}
	return []string{"", "c1", "policy-x"}[rng.IntN(3)]
}

// randomTuples gives a set elements of a small space, so that those of one set meet and cut those
// of the next.
func randomTuples(rng *rand.Rand, s *plan.Set, targets []string) {
	if rng.IntN(4) == 0 {
		s.Interval = !s.Interval
	}
	taken := make([]plan.Tuple, 0, 20)
	for range rng.IntN(20) {
		spans := make([]plan.Span, len(s.Concat))
		for i, t := range s.Concat {
			spans[i] = randomSpan(rng, t, s.Interval)
		}
		chain := ""
		if s.Map {
			chain = targets[rng.IntN(len(targets))]
		}
		e := plan.PackTuple(s.Concat, spans, chain)
		e.Counter = randomCounter(rng, s)
		if !slices.ContainsFunc(taken, func(o plan.Tuple) bool { return overlap(s.Concat, &e, &o) }) {
			taken = append(taken, e)
		}
	}
	slices.SortFunc(taken, plan.CompareTuples)
	s.Tuples = taken
}

// randomSpan is one of a few keys of type t, or with interval of a few intervals.
func randomSpan(rng *rand.Rand, t plan.Type, interval bool) plan.Span {
	k := plan.Key{byte('a' + rng.IntN(3))} // "a" to "c" as an interface's name
	if t != plan.TypeIfname {
		for i := range t.Width() {
			k[i] = byte([]int{0, 1, 128, 255}[rng.IntN(4)])
		}
	}
	sp := plan.Span{From: k, To: k}
	switch {
	case !interval:
	case rng.IntN(3) == 0 && t != plan.TypeIfname:
		sp = plan.AllOf(t)
	case rng.IntN(2) == 0:
		for i := 1; i < t.Width(); i++ {
			sp.From[i], sp.To[i] = 0, 0xff
		}
	}
	return sp
}

// overlap reports whether some packet is in both tuples.
func overlap(types []plan.Type, a, b *plan.Tuple) bool {
	x, y := a.Spans(types), b.Spans(types)
	for i := range x {
		if x[i].To.Compare(y[i].From) < 0 || y[i].To.Compare(x[i].From) < 0 {
			return false
		}
	}
	return true
}

var secondNames = regexp.MustCompile(`((?:@|\t(?:set|map) )[\w-]+)/alt\b`)

// blocks are the objects of a listing in order of their text: the order of objects means nothing,
// and that of the elements of a map of several fields is that of their making. Which of its two
// names a set has tells only its history.
func blocks(listing string) string {
	parts := strings.Split(secondNames.ReplaceAllString(listing, "$1"), "\n\n")
	for i := range parts {
		parts[i] = strings.Trim(strings.TrimSuffix(strings.TrimPrefix(parts[i], "table inet pbr {\n"), "}\n"), "\n")
		if head, elements, ok := strings.Cut(parts[i], "elements = {"); ok {
			list := strings.Split(strings.Trim(elements, " }\n\t"), ",")
			for j := range list {
				list[j] = strings.TrimSpace(list[j])
			}
			slices.Sort(list)
			parts[i] = head + strings.Join(list, "\n")
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "\n\n")
}

func TestAnyRulesetToAnyOther(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	n, fresh := newNetns(t), newNetns(t)
	var live *Live
	for round := range race.Cases(60) {
		want := randomRuleset(rng)
		switch {
		case live == nil || round%3 == 0:
			live = n.apply(want)
		default:
			var err error
			if live, err = n.conn.Apply(live, want, diff(live, want)); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		read := n.read()
		if c := diff(read, want); !c.Empty() {
			t.Fatalf("round %d: still to change after Apply: %+v", round, c)
		}
		compareHandles(t, live, read)
		if err := fresh.conn.Delete(); err != nil {
			t.Fatal(err)
		}
		fresh.apply(want)
		if got, want := blocks(n.list("table", "inet", "pbr")), blocks(fresh.list("table", "inet", "pbr")); got != want {
			t.Fatalf("round %d: edited and fresh table differ\n%s", round, firstDifference(got, want))
		}
	}
}

// compareHandles tests that Apply knew the handles that the kernel gave.
func compareHandles(t *testing.T, live, read *Live) {
	t.Helper()
	if live.Generation != read.Generation {
		t.Fatalf("Apply says generation %d, the kernel %d", live.Generation, read.Generation)
	}
	handles := map[string][]uint64{}
	for i, ch := range read.Ruleset.Chains {
		handles[ch.Name] = read.handles[i]
	}
	for i, ch := range live.Ruleset.Chains {
		if !slices.Equal(handles[ch.Name], live.handles[i]) {
			t.Fatalf("chain %s: Apply says handles %v, the kernel has %v", ch.Name, live.handles[i], handles[ch.Name])
		}
	}
}
