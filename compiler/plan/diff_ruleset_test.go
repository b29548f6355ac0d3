package plan

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

// numbered returns rules told apart by their comments.
func numbered(ids ...int) []ChainRule {
	out := make([]ChainRule, len(ids))
	for i, id := range ids {
		out[i] = ChainRule{Actions: []Action{Accept{}}, Comment: strconv.Itoa(id)}
	}
	return out
}

// applyEdits does what a script says; kept rules come from have.
func applyEdits(t *testing.T, edits []RuleEdit, have, want []ChainRule) []ChainRule {
	t.Helper()
	var out []ChainRule
	i := 0
	for _, e := range edits {
		switch e.Op {
		case Keep:
			if e.Have != i || e.Want != len(out) {
				t.Fatalf("keep %+v at have %d, want %d", e, i, len(out))
			}
			out = append(out, have[i:i+e.N]...)
			i += e.N
		case Remove:
			if e.Have != i {
				t.Fatalf("remove %+v at have %d", e, i)
			}
			i += e.N
		case Insert:
			if e.Want != len(out) {
				t.Fatalf("insert %+v at want %d", e, len(out))
			}
			out = append(out, want[e.Want:e.Want+e.N]...)
		}
	}
	if i != len(have) {
		t.Fatalf("script covers %d of %d live rules", i, len(have))
	}
	return out
}

// commonLength is the length of a longest common subsequence by the plain quadratic way.
func commonLength(a, b []ChainRule) int {
	row := make([]int, len(b)+1)
	for i := range a {
		diagonal := 0
		for j := range b {
			above := row[j+1]
			if a[i].Equal(&b[j]) {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(row[j+1], row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}

func TestDiffChainRulesIsShortestAndRight(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	random := func(kinds int) []ChainRule {
		ids := make([]int, rng.IntN(30))
		for i := range ids {
			ids[i] = rng.IntN(kinds)
		}
		return numbered(ids...)
	}
	for range 2000 {
		kinds := 1 + rng.IntN(40)
		have, want := random(kinds), random(kinds)
		edits := diffChainRules(have, want)
		if edits == nil {
			if !reflect.DeepEqual(have, want) {
				t.Fatalf("no edits from %v to %v", have, want)
			}
			continue
		}
		got := applyEdits(t, edits, have, want)
		if !slices.EqualFunc(got, want, func(a, b ChainRule) bool { return a.Equal(&b) }) {
			t.Fatalf("edits %+v of %v give %v, want %v", edits, have, got, want)
		}
		kept := 0
		for _, e := range edits {
			if e.Op == Keep {
				kept += e.N
			}
		}
		if best := commonLength(have, want); kept != best {
			t.Fatalf("kept %d of %d common rules: %+v", kept, best, edits)
		}
	}
}

func TestDiffChainRulesOfManyEqualRules(t *testing.T) {
	ids := make([]int, 3000)
	have, want := numbered(append([]int{1}, ids...)...), numbered(append(slices.Clone(ids), 2, 0, 3)...)
	edits := diffChainRules(have, want)
	got := applyEdits(t, edits, have, want)
	if !slices.EqualFunc(got, want, func(a, b ChainRule) bool { return a.Equal(&b) }) {
		t.Fatal("wrong script")
	}
}

func TestDiffElements(t *testing.T) {
	el := func(from, to uint16, chain string) Element {
		return Element{From: KeyFromUint16(from), To: KeyFromUint16(to), Goto: chain}
	}
	have := []Element{el(1, 1, ""), el(3, 9, ""), el(20, 20, "a"), el(30, 30, "")}
	want := []Element{el(1, 1, ""), el(2, 2, ""), el(3, 5, ""), el(20, 20, "b"), el(30, 30, ""), el(31, 31, "")}
	remove, add := diffEntries(have, want, compareElements)
	t.Run("what is not wanted, or leads elsewhere, is removed", func(t *testing.T) {
		if want := []Element{el(3, 9, ""), el(20, 20, "a")}; !slices.Equal(remove, want) {
			t.Errorf("remove %v, want %v", remove, want)
		}
	})
	t.Run("what is new, or leads elsewhere, is added", func(t *testing.T) {
		if want := []Element{el(2, 2, ""), el(3, 5, ""), el(20, 20, "b"), el(31, 31, "")}; !slices.Equal(add, want) {
			t.Errorf("add %v, want %v", add, want)
		}
	})
}

func TestDiffRuleset(t *testing.T) {
	port := []Element{{From: KeyFromUint16(53), To: KeyFromUint16(53)}}
	have := Ruleset{
		Counters: []Counter{{Name: "a"}, {Name: "b", Comment: "old"}, {Name: "d"}},
		Sets: []Set{{Name: "gone", Type: TypePort}, {Name: "same", Type: TypePort, Elements: port},
			{Name: "timed", Type: TypePort, Foreign: "timeout 1h"}, {Name: "typed", Type: TypePort}},
		Chains: []Chain{{Name: "x", Rules: numbered(1)}, {Name: "y", Foreign: "policy drop", Hook: "output"},
			{Name: "z", Rules: numbered(1, 2)}},
		Foreign: []string{"quota q"},
	}
	want := Ruleset{
		Counters: []Counter{{Name: "a"}, {Name: "b", Comment: "new"}, {Name: "c"}},
		Sets: []Set{{Name: "new", Type: TypePort}, {Name: "same", Type: TypePort, Elements: slices.Clone(port)},
			{Name: "timed", Type: TypePort}, {Name: "typed", Type: TypeMark}},
		Chains: []Chain{{Name: "z", Rules: numbered(2)}, {Name: "y", Hook: "output"}, {Name: "w"}},
	}
	t.Run("each kind of object has its change", func(t *testing.T) {
		c := &Changes{}
		diffRuleset(&have, &want, c)
		if got := &(Changes{
			Counters: []CounterChange{{&have.Counters[1], &want.Counters[1]}, {nil, &want.Counters[2]}, {&have.Counters[2], nil}},
			Sets: []SetChange{{Have: &have.Sets[0]}, {Want: &want.Sets[0]}, {Have: &have.Sets[2], Want: &want.Sets[2], Rebuild: true},
				{Have: &have.Sets[3], Want: &want.Sets[3], Rebuild: true}},
			Chains: []ChainChange{{Have: &have.Chains[2], Want: &want.Chains[0], Edits: []RuleEdit{{Remove, 0, 0, 1}, {Keep, 1, 0, 1}}},
				{Have: &have.Chains[1], Want: &want.Chains[1], Rebuild: true}, {Want: &want.Chains[2]}, {Have: &have.Chains[0]}},
			Foreign: []string{"quota q"},
		}); !reflect.DeepEqual(c, got) {
			t.Errorf("got  %+v\nwant %+v", c, got)
		}
	})
	t.Run("a ruleset does not differ from itself", func(t *testing.T) {
		c := &Changes{}
		if diffRuleset(&want, &want, c); !c.Empty() {
			t.Errorf("a ruleset differs from itself: %+v", c)
		}
	})
}

func TestCanonicalMatches(t *testing.T) {
	value := func(f Field, v uint8) Match { return Match{Field: f, From: KeyFromUint8(v), To: KeyFromUint8(v)} }
	family4, family6 := value(FieldNFProto, 2), value(FieldNFProto, 10)
	icmp, typ := value(FieldL4Proto, 1), value(FieldICMPType, 8)
	src, src6 := Match{Field: FieldIPSAddr, Set: "a"}, Match{Field: FieldIP6SAddr, Set: "b"}
	lan := Match{Field: FieldIIFName, From: KeyFromString("lan"), To: KeyFromString("lan")}
	for _, c := range []struct {
		name     string
		in, want []Match
	}{
		{"family before address", []Match{family4, src}, []Match{src}},
		{"family before address of the other", []Match{family6, src}, []Match{family6, src}},
		{"negated family", []Match{{Field: FieldNFProto, Not: true, From: family4.From, To: family4.To}, src6},
			[]Match{{Field: FieldNFProto, Not: true, From: family4.From, To: family4.To}, src6}},
		{"family apart", []Match{family4, lan, src}, []Match{family4, lan, src}},
		{"icmp alone implies no family", []Match{icmp, typ}, []Match{icmp, typ}},
		{"icmp and family", []Match{family4, icmp, typ}, []Match{typ}},
		{"icmp after address", []Match{src, icmp, typ, lan}, []Match{src, typ, lan}},
		{"nothing", []Match{lan, src}, []Match{lan, src}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := CanonicalMatches(c.in); !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
			}
		})
	}
	a, b := ChainRule{Matches: []Match{family4, src}}, ChainRule{Matches: []Match{src}}
	if !a.Equal(&b) {
		t.Error("rules that are the same to the kernel are not Equal")
	}
	if h, w := internRules([]ChainRule{a}, []ChainRule{b}); h[0] != w[0] {
		t.Error("equal rules have different numbers")
	}
}

func BenchmarkDiffRulesetSame(b *testing.B) {
	ids := make([]int, 10000)
	for i := range ids {
		ids[i] = i
	}
	have, want := Ruleset{Chains: []Chain{{Name: "c", Rules: numbered(ids...)}}},
		Ruleset{Chains: []Chain{{Name: "c", Rules: numbered(ids...)}}}
	for b.Loop() {
		diffRuleset(&have, &want, &Changes{})
	}
}
