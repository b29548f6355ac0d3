package walk

import (
	"fmt"
	"net/netip"
	"slices"

	"pbr/compiler/plan"
)

// Outcome is one of the ends that a packet may come to when not everything is known of it.
type Outcome struct {
	Verdict      Verdict
	Mark, CTMark uint32
	Masquerade   bool
	SNAT         netip.Addr
	// Chosen means that a balance chose among several: any outcome that is Chosen would be as good.
	Chosen bool
}

// Outcomes returns every possible outcome of a packet in a chain. unknown says which of its fields
// are unknown: a match on one of those, or on a run-time set, may hold or not. Balances may choose
// any member, and remember no client.
func (e *Evaluator) Outcomes(chain string, p *Packet, unknown func(f plan.Field, mask uint32) bool) ([]Outcome, error) {
	c := e.chains[chain]
	if c == nil {
		return nil, fmt.Errorf("chain %q is missing", chain)
	}
	w := e.Walker()
	w.packet, w.six = p, p.Src.Is6() && !p.Src.Is4In6()
	w.src, w.dst = address(p.Src), address(p.Dst)
	x := &explorer{w: w, unknown: unknown, seen: map[visit]outcomes{}}
	back := x.explore(c, Outcome{Mark: p.Mark, CTMark: p.CTMark})
	x.ends.add(back...)
	return x.ends, nil
}

// outcomes are the states in which a packet may be at one place, each once.
type outcomes []Outcome

func (o *outcomes) add(more ...Outcome) {
	for _, m := range more {
		if !slices.Contains(*o, m) {
			*o = append(*o, m)
		}
	}
}

// visit is a state in which a chain is entered.
type visit struct {
	chain *chain
	in    Outcome
}

// explorer goes every way that may be a packet's. What it has seen of a chain it does not walk
// again, so that the ways may part and meet as often as they like.
type explorer struct {
	w       *Walker
	unknown func(f plan.Field, mask uint32) bool
	// ends has those with a verdict.
	ends outcomes
	seen map[visit]outcomes
}

// explore returns the states in which a packet may come back from a chain.
func (x *explorer) explore(c *chain, in Outcome) outcomes {
	at := visit{c, in}
	if back, done := x.seen[at]; done {
		return back
	}
	var back outcomes
	live := outcomes{in}
	for i := range c.rules {
		live = x.rule(&c.rules[i], live, &back)
	}
	back.add(live...)
	x.seen[at] = back
	return back
}

// rule takes the states in which a packet may come to a rule through it, and returns those in which
// it continues behind it.
func (x *explorer) rule(r *rule, live outcomes, back *outcomes) outcomes {
	var next outcomes
	for i, s := range live {
		may, surely := x.holds(r, s)
		switch {
		case may && next == nil:
			next = append(make(outcomes, 0, len(live)), live[:i]...)
			fallthrough
		case may:
			if !surely {
				next.add(s)
			}
			x.do(r, s, &next, back)
		case next != nil:
			next.add(s)
		}
	}
	if next == nil {
		return live
	}
	return next
}

// holds reports whether the rule may match in this state, and whether it surely does.
func (x *explorer) holds(r *rule, s Outcome) (may, surely bool) {
	x.w.result.Mark, x.w.result.CTMark = s.Mark, s.CTMark
	surely = true
	for i := range r.matches {
		m := &r.matches[i]
		if x.unknown(m.field, m.mask) || m.set != nil && m.set.plan.RunTime && m.set.plan.Name != plan.SetOwnKnown {
			surely = false
		} else if !x.w.meets(m) {
			return false, false
		}
	}
	return true, surely
}

// do does a rule's actions. Packets that continue behind the rule come into next, those that leave
// its chain without a verdict into back.
func (x *explorer) do(r *rule, s Outcome, next, back *outcomes) {
	for i := range r.actions {
		a := &r.actions[i]
		switch p := a.plan.(type) {
		case plan.Accept:
			s.Verdict = Accepted
			x.ends.add(s)
			return
		case plan.Masquerade:
			s.Verdict, s.Masquerade = Accepted, true
			x.ends.add(s)
			return
		case plan.SNAT:
			s.Verdict, s.SNAT = Accepted, p.Addr
			x.ends.add(s)
			return
		case plan.Drop:
			s.Verdict = Dropped
			x.ends.add(s)
			return
		case plan.Goto:
			back.add(x.explore(a.chain, s)...)
			return
		case plan.Jump:
			next.add(x.explore(a.chain, s)...)
			return
		case plan.VMap, plan.ConcatVMap, plan.HashVMap, plan.CycleVMap, plan.RandomVMap:
			if x.lookUp(a, s, next, back) {
				next.add(s)
			}
			return
		case plan.RecallCTMark:
			next.add(s) // as if the client were a new one
			return
		case plan.SetMark:
			s.Mark = s.Mark&^p.Mask | p.Value&p.Mask
		case plan.SetCTMark:
			if x.w.packet.tracked() {
				s.CTMark = s.CTMark&^p.Mask | p.Value&p.Mask
			}
		}
	}
	next.add(s)
}

// lookUp follows a map's elements, and reports whether the packet may have none.
func (x *explorer) lookUp(a *action, s Outcome, next, back *outcomes) (missed bool) {
	for _, i := range x.elements(a, s, &missed) {
		in := s
		in.Chosen = in.Chosen || a.mod > 0 && len(a.set.plan.Elements) > 1
		name, jump := a.set.verdict(i)
		out := x.explore(x.w.e.chains[name], in)
		if jump {
			next.add(out...)
		} else {
			back.add(out...)
		}
	}
	return missed
}

// elements are the indexes of what an action may find in its map.
func (x *explorer) elements(a *action, s Outcome, missed *bool) (found []int) {
	if a.mod > 0 {
		return upTo(len(a.set.plan.Elements))
	}
	blind := false
	for _, f := range a.fields {
		blind = blind || x.unknown(f, a.mask)
	}
	x.w.result.Mark, x.w.result.CTMark = s.Mark, s.CTMark
	if !blind {
		i := x.w.element(a)
		if *missed = i < 0; *missed {
			return nil
		}
		return []int{i}
	}
	*missed = true
	for i := range len(a.set.plan.Elements) + len(a.set.plan.Tuples) {
		if x.mayBe(a, i) {
			found = append(found, i)
		}
	}
	return found
}

// mayBe reports whether an element of a map agrees with all that is known of the packet.
func (x *explorer) mayBe(a *action, i int) bool {
	spans := make([]plan.Span, 1)
	if len(a.set.plan.Concat) > 0 {
		spans = a.set.plan.Tuples[i].Spans(a.set.plan.Concat)
	} else {
		spans[0] = plan.Span{From: a.set.plan.Elements[i].From, To: a.set.plan.Elements[i].To}
	}
	for k, f := range a.fields {
		if x.unknown(f, a.mask) {
			continue
		}
		n, ok := x.w.load(f)
		masked := num{n.hi & a.masks[k].hi, n.lo & a.masks[k].lo}
		if !ok || !masked.within(numOf(&spans[k].From), numOf(&spans[k].To)) {
			return false
		}
	}
	return true
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
