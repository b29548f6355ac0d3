package doctor

import (
	"fmt"
	"slices"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

// marks judges others' nftables rules that read or write pbr's mark bits; rules of a chain that do
// the same share a line.
func (e *examination) marks() {
	type key struct {
		table, chain       string
		connection, writes bool
		level              Level
	}
	var order []key
	found := map[key][]facts.MarkUse{}
	for _, u := range e.facts.Marks {
		level := e.markLevel(u)
		if level == OK {
			continue
		}
		k := key{u.Table, u.Chain, u.Connection, u.Writes, level}
		if found[k] == nil {
			order = append(order, k)
		}
		found[k] = append(found[k], u)
	}
	for _, k := range order {
		e.markFinding(k.level, found[k])
	}
	if len(order) == 0 && !e.isUnknown("nftables of others") {
		e.ok("nftables", "no rule of others changes or compares pbr's bits %#08x of marks", e.mask())
	}
}

func (e *examination) markFinding(level Level, uses []facts.MarkUse) {
	u := uses[0]
	which := fmt.Sprintf("rule %d", u.Handle)
	if n := len(uses) - 1; n > 0 {
		which += fmt.Sprintf(" and %d more", n)
	}
	mark, word := "packet's mark", "meta mark"
	if u.Connection {
		mark, word = "connection's mark", "ct mark"
	}
	if !u.Writes {
		e.add(level, u.Table+" "+u.Chain, fmt.Sprintf("make it compare its own bits only: %s & %#08x", word, ^e.mask()),
			"%s compares bits %#08x of the %s, which are pbr's: it takes marked packets for different ones", which, u.Bits&e.mask(), mark)
		return
	}
	effect := map[bool]string{false: "packets take the wrong table", true: "connections lose their uplink"}[u.Connection]
	e.add(level, u.Table+" "+u.Chain,
		fmt.Sprintf("make it change its own bits only: %s set %s & %#08x | VALUE; or choose another mark-mask", word, word, e.mask()),
		"%s changes bits %#08x of the %s, which are pbr's: %s", which, u.Bits&e.mask(), mark, effect)
}

// markLevel returns how bad it is that a rule changes or compares marks.
func (e *examination) markLevel(u facts.MarkUse) Level {
	switch {
	case u.Bits&e.mask() == 0:
		return OK
	case !u.Writes || len(u.Hooks) == 0:
		return Warn
	case u.Connection:
		return Fail
	}
	// Before pbr's own chains a packet has none of pbr's bits yet: clearing them changes nothing.
	clears := u.Constant && u.Value&e.mask() == 0
	level := OK
	for _, h := range u.Hooks {
		switch {
		case h.Name == "ingress" && clears, (h.Name == "prerouting" || h.Name == "output") && h.Priority < plan.PriorityMangle && clears:
		case h.Name == "prerouting" || h.Name == "output" || h.Name == "ingress":
			return Fail
		default:
			level = Warn // routed already
		}
	}
	return level
}

// isUnknown reports whether something could not be read.
func (e *examination) isUnknown(what string) bool {
	return slices.ContainsFunc(e.facts.Unknown, func(u facts.Unknown) bool { return u.What == what })
}

// untracked judges others' rules that keep packets from connection tracking.
func (e *examination) untracked() {
	for _, u := range e.facts.Untracked {
		if slices.ContainsFunc(u.Hooks, func(h facts.Hook) bool { return h.Priority < plan.PriorityConntrack }) {
			e.add(Warn, u.Table+" "+u.Chain, "if that is not intended, exclude the policy's traffic from it",
				"rule %d keeps packets from connection tracking (notrack): pbr cannot mark or translate them", u.Handle)
		}
	}
}
