package routeros

import "slices"

// path is how far eval goes.
type path struct {
	// stop is where it ends, inside reports that what follows stop is none of its business.
	stop   *node
	inside bool
	// left counts the nodes that still ask for the mark: after the last one it ends; -1 for no such
	// end.
	left int
}

// ending is how an evaluation ends.
type ending int

const (
	// open: packets that no entry takes continue at stop, or leave the chain unmarked.
	open ending = iota
	// all: an entry takes every packet.
	all
	// cut: no node asks for the mark any more.
	cut
	// failedInside: it cannot be said without what follows stop.
	failedInside
)

// prefix narrows entries to a rule's matchers.
func (p *program) prefix(m *cond, st *statement, list []entry) []entry {
	out := make([]entry, 0, len(list))
	for _, e := range list {
		p.work++
		c, j := m.and(e.cond, p.c.lists)
		if j == never {
			continue
		}
		if j == unjoinable {
			p.c.unjoined(st, e)
			continue
		}
		e.cond = c
		if st != nil {
			e.by = append([]*statement{st}, e.by...)
		}
		out = append(out, e)
		if c == m || c.same(m) {
			break
		}
	}
	return out
}

// closed is a list whose last entry takes what no other does.
func closed(list []entry) []entry {
	if closes(list) {
		return list
	}
	return append(slices.Clip(list), entry{cond: &cond{}, keep: true})
}

func closes(list []entry) bool {
	return slices.ContainsFunc(list, func(e entry) bool { return e.cond.always() })
}

// eval lists what happens to packets that enter n with a connection mark.
func (p *program) eval(n *node, mark string, way path) (out []entry, end ending) {
	for ; n != nil && n != way.stop && p.err == nil; n = n.next {
		if p.work++; p.work > mostWork || len(out) > mostNodes {
			p.err = errMaze
		}
		if way.left == 0 {
			return out, cut
		}
		switch n.kind {
		case free:
			for i := len(n.front) - 1; i >= 0; i-- {
				out = append(out, n.front[i])
			}
			out = append(out, n.entries...)
			p.work += len(n.front) + len(n.entries)
			if n.closes {
				return out, all
			}
		case guarded:
			list, asked := n.by[mark]
			if asked && way.left > 0 {
				way.left--
			}
			for i := len(list) - 1; i >= 0; i-- {
				out = append(out, list[i])
			}
			p.work += len(list)
			if n.closed[mark] {
				return out, all
			}
		case setter:
			if way.inside {
				return nil, failedInside
			}
			rest, _ := p.eval(n.next, mark, path{left: -1})
			return append(out, p.set(n.instrs, mark, closed(rest))...), all
		case branch:
			if n.back && way.inside && n.target == way.stop {
				rest, end := p.eval(n.next, mark, way)
				if end != failedInside && n.instr.guard.holds(mark) {
					rest, end = p.exclude(n.instr, rest)
				}
				return append(out, rest...), end
			}
			if n.instr.guard.holds(mark) {
				out = append(out, p.branch(n, mark)...)
			}
		}
	}
	if way.left == 0 {
		return out, cut
	}
	return out, open
}

// branch lists what happens to packets that jump: what the other chain decides; those that come
// back are like those that did not jump.
func (p *program) branch(n *node, mark string) []entry {
	list, end := p.eval(n.target, mark, path{stop: n.next, inside: true, left: -1})
	if end == failedInside || n.back {
		list, _ = p.eval(n.target, mark, path{left: -1})
		list = closed(list)
	}
	var out []entry
	for _, alt := range n.instr.alts {
		out = append(out, p.prefix(alt, n.instr.st, list)...)
	}
	return out
}

// exclude takes the packets of a return out of what follows it in its chain.
func (p *program) exclude(in *instr, rest []entry) (out []entry, after ending) {
	for _, e := range rest {
		for _, alt := range in.alts {
			left, ok := e.cond.without(alt)
			if !ok {
				return nil, failedInside
			}
			if e.cond = left; left == nil {
				break
			}
		}
		if e.cond != nil {
			e.by = append(slices.Clip(e.by), in.st)
			out = append(out, e)
		}
	}
	return out, open
}

// set marks what is left unmarked.
func (p *program) set(instrs []*instr, mark string, rest []entry) (out []entry) {
	for _, e := range rest {
		if e.keep {
			for _, in := range instrs {
				if !in.guard.holds(mark) {
					continue
				}
				for _, alt := range in.alts {
					marked := entry{cond: alt, mark: in.mark, by: append(slices.Clip(e.by), in.st)}
					out = append(out, p.prefix(e.cond, nil, []entry{marked})...)
				}
			}
		}
		out = append(out, e)
	}
	return out
}
