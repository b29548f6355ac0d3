package walk

import (
	"fmt"
	"net/netip"
	"slices"

	"pbr/compiler/plan"
)

// Verdict is how a walk ends.
type Verdict uint8

const (
	// Ended is the end of the chain that the walk began in: a base chain accepts there, any other
	// one returns.
	Ended Verdict = iota
	Accepted
	Dropped
)

func (v Verdict) String() string { return [...]string{"end of chain", "accept", "drop"}[v] }

// Result is what happens to a packet.
type Result struct {
	Verdict Verdict
	// Mark and CTMark are those of the packet and its connection afterwards.
	Mark, CTMark uint32
	// Counters are the names of those that counted it, in their order, and Logs the prefixes that
	// it was logged with.
	Counters, Logs []string
	// Masquerade and SNAT tell what happens to its source address.
	Masquerade bool
	SNAT       netip.Addr
	// Offloaded reports whether a rule put the connection into a flowtable.
	Offloaded bool
	// In is the chain that gave the verdict; empty after Ended.
	In string
	// Steps are, after Trace, the rules whose matches held.
	Steps []Step
}

// Step is a rule whose matches held.
type Step struct {
	Chain string
	// Rule is its index in the chain.
	Rule int
	// Set is the map that the rule looked in last, Element the index of what it found there (in
	// Elements or Tuples), -1 for nothing.
	Set     string
	Element int
	// Next is the chain that the rule led to.
	Next string
	// Whole means that all of its actions were done.
	Whole bool
}

// Walker walks packets. It keeps what they leave behind (turns, remembered clients) for those that
// follow; it is for one goroutine.
type Walker struct {
	e *Evaluator
	// Random answers "numgen random mod"; nil is 0 for everything.
	Random func(mod uint32) uint32

	turns   map[int]uint32
	clients map[*set]map[num]client
	// known is what the maps had before.
	known map[string]map[plan.Key]Client
	// members are the indexes of run-time sets whose members are known.
	members map[string]*set
	// unknown are the run-time sets that were looked into without knowing their members.
	unknown []string
	// choices, if set, decides what turn and chance would.
	choices *choices
	// fib, if set, answers "fib" expressions.
	fib *fib

	packet   *Packet
	six      bool
	src, dst num
	result   Result
	tracing  bool
	fields   [len(plan.FieldList{})]num
}

// Walker returns one that no packet has met.
func (e *Evaluator) Walker() *Walker {
	return &Walker{e: e, turns: map[int]uint32{}, clients: map[*set]map[num]client{}}
}

// Walk takes a packet through a chain. It fails only if there is no such chain.
func (w *Walker) Walk(chain string, p *Packet) (Result, error) { return w.start(chain, p, false) }

// Trace is Walk with Result.Steps.
func (w *Walker) Trace(chain string, p *Packet) (Result, error) { return w.start(chain, p, true) }

func (w *Walker) start(name string, p *Packet, trace bool) (Result, error) {
	c := w.e.chains[name]
	if c == nil {
		return Result{}, fmt.Errorf("chain %q is missing", name)
	}
	w.packet, w.tracing, w.six = p, trace, p.Src.Is6() && !p.Src.Is4In6()
	w.src, w.dst = address(p.Src), address(p.Dst)
	w.result = Result{Mark: p.Mark, CTMark: p.CTMark}
	w.walk(c)
	return w.result, nil
}

// frame is where a chain continues after a jump.
type frame struct {
	chain *chain
	next  int
}

// walk goes from rule to rule. Chains lead nowhere back, so it ends.
func (w *Walker) walk(c *chain) {
	var room [16]frame // NFT_JUMP_STACK_SIZE (net/netfilter/nf_tables.h)
	stack := room[:0]
	for i := 0; ; {
		if i == len(c.rules) {
			if len(stack) == 0 {
				return
			}
			top := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			c, i = top.chain, top.next
			continue
		}
		r := &c.rules[i]
		i++
		if !w.holds(r) {
			continue
		}
		next, jump, end := w.do(c, i-1, r)
		if end {
			return
		}
		if next != nil {
			if jump {
				stack = append(stack, frame{c, i})
			}
			c, i = next, 0
		}
	}
}

// holds reports whether all matches of the rule do.
func (w *Walker) holds(r *rule) bool {
	for i := range r.matches {
		if !w.meets(&r.matches[i]) {
			return false
		}
	}
	return true
}

// meets reports whether the packet meets one match.
func (w *Walker) meets(m *match) bool {
	if m.field == plan.FieldTime && m.set != nil && w.packet.InWindow != nil {
		return w.packet.InWindow(m.set.plan.Name) != m.not
	}
	if m.set != nil && m.field.CgroupLevel() > 0 && w.packet.InCgroup != nil {
		return w.packet.InCgroup(m.set.plan.Name) != m.not
	}
	n, ok := w.load(m.field)
	if !ok || m.family && !w.rightFamily(m.field) {
		return false
	}
	if m.mask != 0 {
		n = num32(n.uint32() & m.mask)
	}
	if m.set != nil && m.set.plan.RunTime {
		return w.isMember(m.set, n) != m.not
	}
	if m.set != nil {
		return m.set.find(n) >= 0 != m.not
	}
	return n.within(m.from, m.to) != m.not
}

// rightFamily reports whether an ICMP type is of the packet's IP version; fields of addresses have
// asked already.
func (w *Walker) rightFamily(f plan.Field) bool {
	return f.Protocol() == 0 || (f.Family() == plan.IPv6) == w.six
}

// do does the rule's actions until one ends it. next is the chain that continues, end means that
// the walk is over.
func (w *Walker) do(c *chain, index int, r *rule) (next *chain, jump, end bool) {
	step := Step{Chain: c.plan.Name, Rule: index, Element: -1}
	step.Whole = true
	for i := range r.actions {
		a := &r.actions[i]
		goesOn := false
		switch p := a.plan.(type) {
		case plan.Accept:
			w.result.Verdict, w.result.In, end = Accepted, c.plan.Name, true
		case plan.Drop:
			w.result.Verdict, w.result.In, end = Dropped, c.plan.Name, true
		case plan.Masquerade:
			w.result.Verdict, w.result.In, w.result.Masquerade, end = Accepted, c.plan.Name, true, true
		case plan.SNAT:
			w.result.Verdict, w.result.In, w.result.SNAT, end = Accepted, c.plan.Name, p.Addr, true
		case plan.Jump:
			next, jump = a.chain, true
		case plan.Goto:
			next = a.chain
		case plan.VMap, plan.ConcatVMap, plan.HashVMap, plan.CycleVMap, plan.RandomVMap:
			next, jump = w.lookUp(a, &step)
		default:
			goesOn = w.change(a)
		}
		if !goesOn {
			step.Whole = i == len(r.actions)-1 && (next != nil || end)
			break
		}
	}
	if w.tracing {
		if next != nil {
			step.Next = next.plan.Name
		}
		w.result.Steps = append(w.result.Steps, step)
	}
	return next, jump, end
}

// change does an action that gives no verdict; it reports whether the rule goes on.
func (w *Walker) change(a *action) (ok bool) {
	r := &w.result
	switch p := a.plan.(type) {
	case plan.SetMark:
		r.Mark = r.Mark&^p.Mask | p.Value&p.Mask
	case plan.SetCTMark:
		if w.packet.tracked() {
			r.CTMark = r.CTMark&^p.Mask | p.Value&p.Mask
		}
	case plan.Count:
		r.Counters = append(r.Counters, p.Counter)
	case plan.Log:
		r.Logs = append(r.Logs, p.Prefix)
	case plan.Offload:
		r.Offloaded = true
	case plan.RecallCTMark, plan.Remember, plan.Forget:
		return w.client(a)
	}
	return true
}

// CountsFor returns what the element counts for that a rule of the ruleset finds in its map for a
// packet; empty if there is none.
func (e *Evaluator) CountsFor(r *plan.ChainRule, p *Packet) string {
	w := e.Walker()
	w.packet, w.six = p, p.Src.Is6() && !p.Src.Is4In6()
	w.src, w.dst = address(p.Src), address(p.Dst)
	for _, c := range e.chains {
		for i := range c.rules {
			if c.rules[i].plan == r {
				return w.countsFor(&c.rules[i])
			}
		}
	}
	return ""
}

func (w *Walker) countsFor(r *rule) string {
	for i := range r.actions {
		if a := &r.actions[i]; a.finds() {
			if found := w.element(a); found >= 0 {
				return a.set.counter(found)
			}
		}
	}
	return ""
}

// finds reports whether the action looks for the packet's fields in a map of verdicts.
func (a *action) finds() bool {
	switch a.plan.(type) {
	case plan.VMap, plan.ConcatVMap:
		return true
	}
	return false
}

// lookUp finds where a map leads the packet, nil for nowhere.
func (w *Walker) lookUp(a *action, step *Step) (next *chain, jump bool) {
	step.Set = a.set.plan.Name
	i := w.element(a)
	if i < 0 {
		return nil, false
	}
	step.Element = i
	if counter := a.set.counter(i); counter != "" {
		w.result.Counters = append(w.result.Counters, counter)
	}
	name, jump := a.set.verdict(i)
	return w.e.chains[name], jump
}

// element is the index of what an action finds in its map, -1 for nothing.
func (w *Walker) element(a *action) int {
	if w.choices != nil && w.open(a) {
		return a.set.different[w.choices.again(a.set, len(a.set.different))]
	}
	switch a.plan.(type) {
	case plan.CycleVMap:
		n := w.turns[a.turn]
		w.turns[a.turn] = n + 1
		return a.set.find(num32(n % a.mod))
	case plan.RandomVMap:
		if w.Random == nil {
			return a.set.find(num32(0))
		}
		return a.set.find(num32(w.Random(a.mod)))
	}
	for i, f := range a.fields {
		n, ok := w.load(f)
		if !ok {
			return -1
		}
		w.fields[i] = num{n.hi & a.masks[i].hi, n.lo & a.masks[i].lo}
	}
	switch {
	case a.mod > 0:
		return a.set.find(num32(w.hash(a)))
	case len(a.set.plan.Concat) > 0:
		return a.set.findTuple(w.fields[:len(a.fields)])
	}
	return a.set.find(w.fields[0])
}

// open reports whether turn, chance, or the hash of a port that is not known decides.
func (w *Walker) open(a *action) bool {
	switch a.plan.(type) {
	case plan.CycleVMap, plan.RandomVMap:
		return true
	case plan.HashVMap:
		return w.packet.AnySPort && slices.Contains(a.fields, plan.FieldSPort) || w.packet.AnyDPort &&
			slices.Contains(a.fields, plan.FieldDPort)
	}
	return false
}

// client does an action on a map that packets fill; it reports whether the rule goes on.
func (w *Walker) client(a *action) (ok bool) {
	n, ok := w.load(a.fields[0])
	if !ok {
		return false
	}
	n = num{n.hi & a.masks[0].hi, n.lo & a.masks[0].lo}
	before, known := w.remembers(a.set, n)
	switch p := a.plan.(type) {
	case plan.RecallCTMark:
		if known && w.packet.tracked() {
			w.result.CTMark = before
		}
		return known
	case plan.Remember:
		if !known && len(w.clients[a.set])+len(w.known[a.set.plan.Name]) >= int(a.set.plan.Size) {
			return false
		} else if !known {
			w.remember(a.set, n, client{mark: w.result.Mark & p.Mask})
		}
	case plan.Forget:
		w.remember(a.set, n, client{gone: true})
	}
	return true
}

// client is an element of a map that packets fill.
type client struct {
	mark uint32
	gone bool
}

func (w *Walker) remembers(s *set, n num) (mark uint32, known bool) {
	if c, ok := w.clients[s][n]; ok {
		return c.mark, !c.gone
	}
	before, known := w.known[s.plan.Name][n.key()]
	return before.Mark, known
}

func (w *Walker) remember(s *set, n num, c client) {
	if w.clients[s] == nil {
		w.clients[s] = map[num]client{}
	}
	w.clients[s][n] = c
}

// restart forgets what packets have left behind.
func (w *Walker) restart() {
	clear(w.turns)
	clear(w.clients)
	w.unknown = nil
}
