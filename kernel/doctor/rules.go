package doctor

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/plan"
	"pbr/kernel/facts"
)

// The kernel's own ip rules (linux/rtnetlink.h).
const (
	localTable   = 255
	defaultTable = 253
	lastRule     = 32767
)

// ipRules judges others' ip rules, those of known programs by name and the rest one by one: those
// before pbr's, those among them, and those after them that match marked packets.
func (e *examination) ipRules() {
	if len(e.facts.Rules) == 0 {
		return
	}
	for _, family := range plan.Families {
		e.baseRules(family)
	}
	before := 0
	for _, r := range e.facts.Rules {
		if r.Protocol == plan.Protocol || standard(r) {
			continue
		}
		marked := r.MarkMask&e.mask() != 0 && r.Mark&e.mask() != 0 && !r.Invert
		subject := fmt.Sprintf("ip -%d rule %d", r.Family, r.Priority)
		do := fmt.Sprintf("ip -%d rule del pref %d", r.Family, r.Priority)
		switch {
		case plan.InSpan(e.base(), r.Priority):
			e.inside(subject, do, r)
		case marked:
			e.add(Fail, subject, do+", or use another mark for it, or another mark-mask for pbr",
				"%s: matches bits of the mark that are pbr's", Describe(r))
		case r.Priority > e.base(), e.owner(r) != nobody:
		case e.takesAll(r):
			e.add(Fail, subject, do+", or move it after pbr's, to a priority above "+fmt.Sprint(e.base()+plan.PrioritySpan-1),
				"%s: comes before pbr's rules and takes every packet", Describe(r))
		case everything(r) && r.Action == plan.ActLookup:
			before++
		default:
			e.add(Warn, subject, do+" if that is not intended", "%s: packets that it selects never reach pbr's rules", Describe(r))
		}
	}
	e.neighbours()
	if before > 0 {
		e.ok("ip rules", "%d before pbr's, with specific routes only", before)
	}
}

// inside judges a rule in the priorities that pbr owns, or would own.
func (e *examination) inside(subject, do string, r plan.Rule) {
	do += ", or choose another rule-priority"
	if e.facts.State.Taken {
		e.add(Fail, subject, do, "%s: is among pbr's priorities %d-%d; the next apply removes it", Describe(r),
			e.base(), e.base()+plan.PrioritySpan-1)
		return
	}
	e.add(Fail, subject, do, "%s: is among the priorities %d-%d, so pbr apply refuses to start", Describe(r),
		e.base(), e.base()+plan.PrioritySpan-1)
}

// standard reports whether it is a rule that the kernel creates, or the one for VRFs, which selects
// nothing without a VRF.
func standard(r plan.Rule) bool {
	return everything(r) && r.Action == plan.ActLookup && r.SuppressPrefix == 0 && r.Foreign == "" &&
		(r.Priority == 0 && r.Table == localTable || r.Priority == lastRule-1 && r.Table == plan.MainTable || r.Priority == lastRule) ||
		strings.Contains(r.Foreign, "l3mdev")
}

// everything reports whether a rule matches every packet.
func everything(r plan.Rule) bool {
	r.Priority, r.Family, r.Action, r.Table, r.SuppressPrefix, r.Goto, r.Protocol, r.Foreign = 0, 0, 0, 0, 0, 0, 0, ""
	return r == plan.Rule{}
}

// decides reports whether a rule ends the search for the packets that it matches.
func decides(r plan.Rule) bool {
	switch r.Action {
	case plan.ActBlackhole, plan.ActUnreachable, plan.ActProhibit:
		return true
	}
	return false
}

// takesAll reports whether a rule leaves no packet to the rules after it, or only its own marked
// packets, like wg-quick's.
func (e *examination) takesAll(r plan.Rule) bool {
	marked := r
	marked.Mark, marked.MarkMask, marked.Invert = 0, 0, false
	if !everything(r) && !(r.Invert && r.MarkMask != 0 && everything(marked)) {
		return false
	}
	if r.Action != plan.ActLookup {
		return decides(r)
	}
	return r.SuppressPrefix == 0 && r.Foreign == "" && slices.Contains(e.facts.Defaults, facts.Table{Family: r.Family, ID: r.Table})
}

// baseRules looks for the rules that everything depends on: those for local and main.
func (e *examination) baseRules(family plan.Family) {
	has := func(table uint32) bool {
		return slices.ContainsFunc(e.facts.Rules, func(r plan.Rule) bool {
			return r.Family == family && r.Table == table && everything(r) && r.Action == plan.ActLookup && r.SuppressPrefix == 0
		})
	}
	if !slices.ContainsFunc(e.facts.Rules, func(r plan.Rule) bool { return r.Family == family }) {
		return // the kernel lacks the family
	}
	for _, base := range []struct {
		table    uint32
		name     string
		priority int
		what     string
	}{{localTable, "local", 0, "the router does not answer for its own addresses"},
		{plan.MainTable, "main", lastRule - 1, "what no table of pbr's takes is unreachable"}} {
		if !has(base.table) {
			e.add(Fail, fmt.Sprintf("ip -%d rules", family), fmt.Sprintf("ip -%d rule add pref %d lookup %s",
				family, base.priority, base.name),
				"none looks up %s: %s", base.name, base.what)
		}
	}
}

// Describe prints what a rule selects and does, in the syntax of ip-rule(8).
func Describe(r plan.Rule) string {
	var words []string
	say := func(set bool, format string, args ...any) {
		if set {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	say(r.Invert, "not")
	say(r.Src.IsValid(), "from %s", r.Src)
	say(!r.Src.IsValid(), "from all")
	say(r.Dst.IsValid(), "to %s", r.Dst)
	say(r.TOS != 0, "tos 0x%02x", r.TOS)
	say(r.DSCP != 0, "dscp %d", int(r.DSCP)-1)
	say(r.MarkMask != 0, "fwmark 0x%x/0x%x", r.Mark, r.MarkMask)
	say(r.IIF != "", "iif %s", r.IIF)
	say(r.OIF != "", "oif %s", r.OIF)
	say(r.HasUID, "uidrange %d-%d", r.UID.From, r.UID.To)
	say(r.Proto != 0, "ipproto %d", r.Proto)
	say(r.Action == plan.ActLookup, "lookup %s", tableName(r.Table))
	say(r.Action == plan.ActGoto, "goto %d", r.Goto)
	say(r.Action == plan.ActUnreachable, "unreachable")
	say(r.Action == plan.ActProhibit, "prohibit")
	say(r.Action == plan.ActBlackhole, "blackhole")
	say(r.SuppressPrefix != 0, "suppress_prefixlength %d", int64(r.SuppressPrefix)-1)
	return strings.Join(words, " ")
}

// tableName is a table's name as ip-rule(8) prints it.
func tableName(id uint32) string {
	switch id {
	case localTable:
		return "local"
	case plan.MainTable:
		return "main"
	case defaultTable:
		return "default"
	}
	return fmt.Sprint(id)
}

// routes judges what others have in pbr's tables.
func (e *examination) routes() {
	names := map[uint32]string{}
	if e.Want != nil {
		for _, n := range e.Want.Numbers {
			names[n.Table] = n.Name
		}
	}
	for _, r := range e.facts.Routes {
		do := fmt.Sprintf("ip -%d route del %s table %d, or give the table another id", r.Family, r.Dst, r.Table)
		what := "so pbr apply refuses to start"
		if e.facts.State.Taken {
			what = "the next apply removes it"
		}
		e.add(Fail, fmt.Sprintf("table %d", r.Table), do,
			"has a route of others to %s (proto %d) in the table of %q: %s", r.Dst, r.Protocol, names[r.Table], what)
	}
}
