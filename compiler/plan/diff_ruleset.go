package plan

import (
	"cmp"
	"slices"
	"strings"
)

// diffRuleset appends to c what turns the nftables table have into want. Objects are told
// apart by name; the order of chains means nothing to the kernel and is not compared.
func diffRuleset(have, want *Ruleset, c *Changes) {
	counters := func(a, b Counter) int { return strings.Compare(a.Name, b.Name) }
	mergeByName(sorted(have.Counters, counters), sorted(want.Counters, counters),
		func(x *Counter) string { return x.Name },
		func(h, w *Counter) {
			if h == nil || w == nil || *h != *w {
				c.Counters = append(c.Counters, CounterChange{Have: h, Want: w})
			}
		})
	flowtables := func(a, b Flowtable) int { return strings.Compare(a.Name, b.Name) }
	mergeByName(sorted(have.Flowtables, flowtables), sorted(want.Flowtables, flowtables),
		func(x *Flowtable) string { return x.Name },
		func(h, w *Flowtable) {
			if f, ok := diffFlowtable(h, w); ok {
				c.Flowtables = append(c.Flowtables, f)
			}
		})
	sets := func(a, b Set) int { return strings.Compare(a.Name, b.Name) }
	mergeByName(sorted(have.Sets, sets), sorted(want.Sets, sets),
		func(x *Set) string { return x.Name },
		func(h, w *Set) {
			if s, ok := diffSet(h, w); ok {
				c.Sets = append(c.Sets, s)
			}
		})
	diffChains(have.Chains, want.Chains, c)
	c.Foreign = append(c.Foreign, have.Foreign...)
}

// mergeByName calls visit for every name of two lists that are sorted by it, with nil for the side
// that lacks it.
func mergeByName[T any](have, want []T, name func(*T) string, visit func(h, w *T)) {
	i, j := 0, 0
	for i < len(have) || j < len(want) {
		order := 0
		switch {
		case i == len(have):
			order = 1
		case j == len(want):
			order = -1
		default:
			order = strings.Compare(name(&have[i]), name(&want[j]))
		}
		switch {
		case order < 0:
			visit(&have[i], nil)
			i++
		case order > 0:
			visit(nil, &want[j])
			j++
		default:
			visit(&have[i], &want[j])
			i++
			j++
		}
	}
}

// diffSet compares two sets of the same name; ok is false when they are the same.
func diffSet(h, w *Set) (ch SetChange, ok bool) {
	ch = SetChange{Have: h, Want: w}
	if h == nil || w == nil {
		return ch, true
	}
	ch.Rebuild = !sameShape(h, w)
	if !ch.Rebuild {
		ch.Remove, ch.Add = diffEntries(h.Elements, w.Elements, compareElements)
		ch.RemoveTuples, ch.AddTuples = diffEntries(h.Tuples, w.Tuples, CompareTuples)
	}
	return ch, ch.Rebuild || len(ch.Remove)+len(ch.Add)+len(ch.RemoveTuples)+len(ch.AddTuples) > 0
}

// SameSet reports whether two sets are the same, elements included.
func SameSet(a, b *Set) bool {
	remove, add := diffEntries(a.Elements, b.Elements, compareElements)
	removeTuples, addTuples := diffEntries(a.Tuples, b.Tuples, CompareTuples)
	return a.Name == b.Name && sameShape(a, b) && len(remove)+len(add)+len(removeTuples)+len(addTuples) == 0
}

// sameShape reports whether one set can become the other by its elements alone.
func sameShape(h, w *Set) bool {
	return h.Type == w.Type && slices.Equal(h.Concat, w.Concat) && h.Interval == w.Interval && h.Map == w.Map &&
		h.Data == w.Data && h.Counted == w.Counted && h.Dynamic == w.Dynamic && h.RunTime == w.RunTime &&
		h.Size == w.Size && h.Comment == w.Comment && h.Foreign == w.Foreign
}

// diffEntries compares two sorted lists of elements. An element that keeps its place in the order
// and changes the rest is in both results.
func diffEntries[E comparable](have, want []E, compare func(a, b E) int) (remove, add []E) {
	if len(have) == len(want) && (len(have) == 0 || &have[0] == &want[0]) {
		return nil, nil
	}
	i, j := 0, 0
	for i < len(have) && j < len(want) {
		if have[i] == want[j] {
			i++
			j++
			continue
		}
		order := compare(have[i], want[j])
		if order <= 0 {
			remove = append(remove, have[i])
			i++
		}
		if order >= 0 {
			add = append(add, want[j])
			j++
		}
	}
	return append(remove, have[i:]...), append(add, want[j:]...)
}

// diffChains compares chains by name: first those that are wanted, in their order, then those to
// remove.
func diffChains(have, want []Chain, c *Changes) {
	live := make(map[string]*Chain, len(have))
	for i := range have {
		live[have[i].Name] = &have[i]
	}
	for i := range want {
		w := &want[i]
		h := live[w.Name]
		delete(live, w.Name)
		if ch, ok := diffChain(h, w); ok {
			c.Chains = append(c.Chains, ch)
		}
	}
	for i := range have {
		if live[have[i].Name] != nil {
			c.Chains = append(c.Chains, ChainChange{Have: &have[i]})
		}
	}
}

// diffChain compares two chains of the same name, h nil if it is not there; ok is false when they
// are the same.
func diffChain(h, w *Chain) (ch ChainChange, ok bool) {
	ch = ChainChange{Have: h, Want: w}
	if h == nil {
		return ch, true
	}
	if h.Kind != w.Kind || h.Hook != w.Hook || h.Priority != w.Priority || h.Foreign != w.Foreign {
		ch.Rebuild = true
		return ch, true
	}
	ch.Edits = diffChainRules(h.Rules, w.Rules)
	return ch, len(ch.Edits) > 0
}

// diffChainRules returns the shortest script that turns have into want, or nil when they are the
// same.
func diffChainRules(have, want []ChainRule) []RuleEdit {
	if len(have) == len(want) && (len(have) == 0 || &have[0] == &want[0]) {
		return nil
	}
	head := 0
	for head < len(have) && head < len(want) && have[head].Equal(&want[head]) {
		head++
	}
	if head == len(have) && head == len(want) {
		return nil
	}
	tail := 0
	for tail < len(have)-head && tail < len(want)-head && have[len(have)-1-tail].Equal(&want[len(want)-1-tail]) {
		tail++
	}
	midHave, midWant := have[head:len(have)-tail], want[head:len(want)-tail]
	var s editScript
	s.keep(0, 0, head)
	i, j := 0, 0
	for _, p := range longestCommon(internRules(midHave, midWant)) {
		s.replace(head+i, head+j, p.have-i, p.want-j)
		s.keep(head+p.have, head+p.want, 1)
		i, j = p.have+1, p.want+1
	}
	s.replace(head+i, head+j, len(midHave)-i, len(midWant)-j)
	s.keep(len(have)-tail, len(want)-tail, tail)
	return s.edits
}

// editScript gathers edits, joining runs of the same kind.
type editScript struct{ edits []RuleEdit }

func (s *editScript) add(op EditOp, have, want, n int) {
	if n == 0 {
		return
	}
	if k := len(s.edits) - 1; k >= 0 && s.edits[k].Op == op {
		s.edits[k].N += n
		return
	}
	s.edits = append(s.edits, RuleEdit{Op: op, Have: have, Want: want, N: n})
}

func (s *editScript) keep(have, want, n int) { s.add(Keep, have, want, n) }

// replace removes nh rules from have on and inserts nw from want on.
func (s *editScript) replace(have, want, nh, nw int) {
	s.add(Remove, have, want, nh)
	s.add(Insert, have+nh, want, nw)
}

// match pairs a rule of either list.
type match struct{ have, want int }

// maxPairs limits the pairs of equal rules that longestCommon looks at. Rules of one chain are
// nearly always distinct (each names its policy), so that there is one pair a rule.
const maxPairs = 1 << 20

// longestCommon returns a longest common subsequence of two lists of numbers (Hunt and Szymanski
// 1977): of all pairs of equal entries the longest chain that rises in both lists. With more than
// maxPairs pairs only the n-th occurrence of a number on one side is paired with the n-th on the
// other, so that the result may be shorter than the longest.
func longestCommon(have, want []int) []match {
	places := make(map[int][]int, len(want))
	for j, v := range want {
		places[v] = append(places[v], j)
	}
	pairs := 0
	for _, v := range have {
		pairs += len(places[v])
	}
	var nodes []chainNode
	var ends []int // ends[k]: the node with the lowest want index that ends a chain of k+1
	add := func(i, j int) {
		k, _ := slices.BinarySearchFunc(ends, j, func(n, j int) int { return cmp.Compare(nodes[n].want, j) })
		prev := -1
		if k > 0 {
			prev = ends[k-1]
		}
		nodes = append(nodes, chainNode{match{i, j}, prev})
		if k == len(ends) {
			ends = append(ends, 0)
		}
		ends[k] = len(nodes) - 1
	}
	for i, v := range have {
		js := places[v]
		if pairs > maxPairs {
			if len(js) > 0 {
				add(i, js[0])
				places[v] = js[1:]
			}
			continue
		}
		for _, j := range slices.Backward(js) {
			add(i, j)
		}
	}
	return walkBack(nodes, ends)
}

// chainNode is a pair with the one before it in its chain, -1 for none.
type chainNode struct {
	match
	prev int
}

// walkBack lists the chain that ends in the last of ends, first pair first.
func walkBack(nodes []chainNode, ends []int) []match {
	out := make([]match, len(ends))
	if len(ends) == 0 {
		return out
	}
	for k, n := len(ends)-1, ends[len(ends)-1]; n >= 0; k, n = k-1, nodes[n].prev {
		out[k] = nodes[n].match
	}
	return out
}
