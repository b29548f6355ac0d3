package routeros

import "slices"

// effect is what a rule does to the routing of a packet.
type effect int

const (
	// stops: no later rule sees the packet.
	stops effect = iota
	marksConnection
	marksRouting
	jumps
	returns
)

// instr is a rule of a chain as far as routing is concerned.
type instr struct {
	st *statement
	matched
	effect effect
	// mark is what it sets, target where it jumps to.
	mark, target string
	// passes reports whether later rules see the packet.
	passes bool
}

// entry is one of a list of which the first that matches decides.
type entry struct {
	cond *cond
	// mark is the routing mark, keep that there is none.
	mark string
	keep bool
	// left is the connection mark that a packet without a routing mark leaves the chain with.
	left string
	// by are the rules that it comes from.
	by []*statement
	// late reports that RouterOS routes the connection's first packet without the mark.
	late bool
}

// program is one base chain (prerouting, output) made ready.
type program struct {
	c      *config
	chains map[string][]*instr
	// established walks as packets of a running connection do.
	established bool
	// stack are the chains that lead to the one being built, nodes how many there are.
	stack []string
	nodes int
	// work is bounded.
	work int
	err  error
	// asks counts the guarded nodes that ask for a mark; opaque reports whether anything else
	// depends on marks.
	asks   map[string]int
	opaque bool
	// forward is what the function of that name says of the base chain.
	forward bool
	// lates are what late found.
	lates map[string][]entry
	// later is the same chain for running connections.
	later *program
	start *node
}

// Bounds: more nodes or work than this is a maze that nobody wrote by hand.
const (
	mostNodes = 200_000
	mostWork  = 60_000_000
	mostDepth = 32
)

// node is a piece of a chain. Its meaning is a list of entries for each connection mark that a
// packet may have on entering it.
type node struct {
	next *node
	kind nodeKind
	// front (the first one last) and then entries are those of a free node, which hold whatever the
	// mark; closes reports whether one of them takes everything.
	front, entries []entry
	closes         bool
	// by[m] are those of a guarded node for the mark m, the first one last; closed marks have one
	// that takes everything.
	by     map[string][]entry
	closed map[string]bool
	// instrs of a setter mark what is left unmarked by all that follows: the last one first.
	instrs []*instr
	// instr and target of a branch: who passes its matchers continues at target.
	instr  *instr
	target *node
	// back reports that a branch is a return.
	back bool
}

type nodeKind int

const (
	free nodeKind = iota
	guarded
	setter
	branch
)

// fresh and established choose the rules that count.
func (p *program) counts(in *instr) bool {
	if p.established {
		return in.established
	}
	return in.fresh
}

// build makes the nodes of a chain, from its end; next is where packets continue that come to it.
func (p *program) build(chain string, next *node) *node {
	head := next
	list := p.chains[chain]
	for i := len(list) - 1; i >= 0; i-- {
		in := list[i]
		if !p.counts(in) || p.err != nil {
			continue
		}
		head = p.prepend(in, head, next, i, chain)
	}
	return head
}

func (p *program) prepend(in *instr, head, next *node, at int, chain string) *node {
	switch {
	case in.effect == jumps:
		return p.jump(in, head)
	case in.effect == returns && len(p.stack) > 0:
		p.opaque = true
		return p.add(&node{kind: branch, next: head, instr: in, target: next, back: true})
	case in.effect == marksConnection:
		return p.markConnection(in, head, next, chain == baseChain, at)
	case in.effect == marksRouting && in.passes && head != nil && head != next && head.kind == free &&
		!keeps(head.front) && !keeps(head.entries):
		head.next = p.prepend(in, head.next, next, at, chain) // what marks anyway stays before it
		return head
	case in.effect == marksRouting && in.passes && !p.lastWord(in, head):
		return p.setter(in, head, next)
	}
	var entries []entry
	for _, alt := range in.alts {
		entries = append(entries, entry{cond: alt, mark: in.mark, keep: in.effect != marksRouting, by: []*statement{in.st}})
	}
	return p.put(in, entries, head, next)
}

func (p *program) add(n *node) *node {
	if p.nodes++; p.nodes > mostNodes {
		p.err = errMaze
	}
	return n
}

// put places entries in front of head.
func (p *program) put(in *instr, entries []entry, head, next *node) *node {
	g := in.guard
	switch {
	case !g.asked:
		if head == nil || head == next || head.kind != free {
			head = p.add(&node{kind: free, next: head})
		}
		head.closes = head.closes || closes(entries)
		for i := len(entries) - 1; i >= 0; i-- {
			head.front = append(head.front, entries[i])
		}
		return head
	case g.not:
		p.opaque = true
		only := &node{kind: free, entries: entries, closes: closes(entries)}
		return p.add(&node{kind: branch, next: head, instr: &instr{matched: matched{guard: g, alts: []*cond{{}}}}, target: only})
	}
	if head == nil || head == next || head.kind != guarded {
		head = p.add(&node{kind: guarded, next: head, by: map[string][]entry{}, closed: map[string]bool{}})
	}
	if _, asked := head.by[g.mark]; !asked {
		p.asks[g.mark]++
	}
	entries = slices.Clone(entries)
	slices.Reverse(entries)
	for _, e := range entries {
		if e.cond.always() {
			head.by[g.mark], head.closed[g.mark] = nil, true
		}
	}
	head.by[g.mark] = append(head.by[g.mark], entries...)
	return head
}

// setter marks what later rules leave unmarked.
func (p *program) setter(in *instr, head, next *node) *node {
	p.opaque = true
	if head == nil || head.kind != setter || head == next {
		head = p.add(&node{kind: setter, next: head})
	}
	head.instrs = append(head.instrs, in)
	return head
}

// lastWord reports whether no later rule changes the mark of packets that in marks: then it might
// as well stop them.
func (p *program) lastWord(in *instr, head *node) bool {
	if !in.guard.asked || in.guard.not {
		return head == nil && len(p.stack) == 0
	}
	rest, _ := p.eval(head, in.guard.mark, path{left: -1})
	return !slices.ContainsFunc(rest, func(e entry) bool { return !e.keep })
}

func keeps(list []entry) bool { return slices.ContainsFunc(list, func(e entry) bool { return e.keep }) }

// mostMarks bounds the marks that are examined to see whether rules depend on each other.
const mostMarks = 5000

// alone reports whether no rule behind the one at that place asks for a mark that a packet may have
// there, except for its own.
func (p *program) alone(at int, own string) bool {
	if p.opaque || !p.forward || p.asks[""] > 0 {
		return false
	}
	seen := 0
	for _, in := range p.chains[baseChain][:at] {
		if in.effect == marksConnection && in.mark != own && p.asks[in.mark] > 0 {
			return false
		}
		if seen++; in.effect == jumps || seen > mostMarks {
			return false
		}
	}
	return true
}

// markConnection marks the connection: what follows is that of the new mark. Entries that hold for
// any mark stay before it, which is how the last of several rules wins.
func (p *program) markConnection(in *instr, head, next *node, inBase bool, at int) *node {
	if in.guard.asked && !in.guard.not && in.guard.mark == in.mark {
		return head
	}
	after := head
	hoist := in.passes && !in.guard.asked && head != nil && head != next && head.kind == free &&
		(len(p.late(in.mark)) == 0 || !keeps(head.front) && !keeps(head.entries))
	if hoist {
		after = head.next
	}
	list := p.marked(in, after, inBase && p.alone(at, in.mark))
	var entries []entry
	for _, alt := range in.alts {
		entries = append(entries, p.prefix(alt, in.st, list)...)
	}
	if hoist {
		head.entries, head.closes = append(head.entries, entries...), head.closes || closes(entries)
		return head
	}
	return p.put(in, entries, head, next)
}

// marked lists what happens to packets whose connection in has just marked. Where nothing else asks
// for marks (alone), what comes after the rules that ask for this one is the same for all packets,
// and is omitted.
func (p *program) marked(in *instr, after *node, alone bool) []entry {
	var list []entry
	end := open
	if in.passes {
		way := path{left: -1}
		if alone {
			way.left = p.asks[in.mark]
		}
		list, end = p.eval(after, in.mark, way)
	}
	if end != cut {
		list = closed(list)
	}
	return leaving(list, in.mark)
}

// leaving notes the connection mark of packets that leave without a routing mark.
func leaving(list []entry, mark string) []entry {
	open := func(e entry) bool { return e.keep && e.left == "" }
	if !slices.ContainsFunc(list, open) {
		return list
	}
	list = slices.Clone(list)
	for i := range list {
		if open(list[i]) {
			list[i].left = mark
		}
	}
	return list
}

// covered reports whether all that later packets are marked by is in the list already.
func covered(late, list []entry) bool {
	for _, l := range late {
		if !l.keep && !slices.ContainsFunc(list, func(e entry) bool { return e.mark == l.mark && !e.keep && e.cond.same(l.cond) }) {
			return false
		}
	}
	return true
}

// giveLate lets first packets that get no routing mark take the way of the later ones of their
// connection.
func (p *program) giveLate(list []entry) (out []entry) {
	for i, e := range list {
		if late := p.late(e.left); e.keep && e.left != "" && !covered(late, list[:i]) {
			for _, l := range p.prefix(e.cond, nil, late) {
				l.by = append(slices.Clip(e.by), l.by...)
				out = append(out, l)
			}
		}
		out = append(out, e)
	}
	return out
}

// late are the entries that mark the later packets of connections with a mark.
func (p *program) late(mark string) []entry {
	if p.established || mark == "" {
		return nil
	}
	if list, ok := p.lates[mark]; ok {
		return list
	}
	if p.later == nil {
		p.later = newProgram(p.c, p.chains, true)
	}
	all, _ := p.later.eval(p.later.start, mark, path{left: -1})
	if p.later.err != nil {
		p.err = p.later.err
	}
	var out []entry
	for _, e := range all {
		e.late = true
		out = append(out, e)
	}
	for len(out) > 0 && out[len(out)-1].keep {
		out = out[:len(out)-1]
	}
	p.lates[mark] = out
	return out
}

// newProgram makes chains ready for first packets, or for those of running connections.
func newProgram(c *config, chains map[string][]*instr, established bool) *program {
	p := &program{c: c, chains: chains, established: established, asks: map[string]int{}, lates: map[string][]entry{}}
	p.forward = forward(chains[baseChain])
	p.start = p.build(baseChain, nil)
	return p
}

// forward reports whether rules that ask for a mark all come behind those that set it, and look at
// first packets too: then what happens to the later packets of a connection is what happened to its
// first one.
func forward(chain []*instr) bool {
	asked, all := map[string]bool{}, false
	for _, in := range chain {
		if in.effect == marksConnection && (!in.passes || all || asked[in.mark]) || in.guard.asked && !in.fresh {
			return false
		}
		if in.guard.asked {
			asked[in.guard.mark], all = true, all || in.guard.not
		}
	}
	return true
}

// jump leads into another chain.
func (p *program) jump(in *instr, head *node) *node {
	switch {
	case slices.Contains(p.stack, in.target):
		in.st.DropSevere("its chains lead back to each other")
		return head
	case len(p.stack) >= mostDepth:
		in.st.DropSevere("chains lead to chains more than 32 deep")
		return head
	}
	p.opaque = true
	p.stack = append(p.stack, in.target)
	target := p.build(in.target, head)
	p.stack = p.stack[:len(p.stack)-1]
	return p.add(&node{kind: branch, next: head, instr: in, target: target})
}

// baseChain is the key of a program's own chain.
const baseChain = ""

type mazeError struct{}

func (mazeError) Error() string { return "its chains have too many ways through them" }

var errMaze error = mazeError{}
