package route

import (
	"fmt"
	"strings"

	"pbr/compiler/plan"
)

// describeRule names a rule in the syntax of ip-rule(8), for errors.
func describeRule(r plan.Rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "ip -%d rule %d:", r.Family, r.Priority)
	say := func(set bool, format string, args ...any) {
		if set {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	say(r.Invert, "not")
	say(r.Src.IsValid(), "from %s", r.Src)
	say(r.Dst.IsValid(), "to %s", r.Dst)
	say(r.TOS != 0, "tos 0x%02x", r.TOS)
	say(r.DSCP != 0, "dscp %d", int(r.DSCP)-1)
	say(r.MarkMask != 0, "fwmark 0x%x/0x%x", r.Mark, r.MarkMask)
	say(r.IIF != "", "iif %s", r.IIF)
	say(r.OIF != "", "oif %s", r.OIF)
	say(r.HasUID, "uidrange %d-%d", r.UID.From, r.UID.To)
	say(r.Proto != 0, "ipproto %d", r.Proto)
	say(r.SPort != plan.PortRange{}, "sport %d-%d", r.SPort.From, r.SPort.To)
	say(r.DPort != plan.PortRange{}, "dport %d-%d", r.DPort.From, r.DPort.To)
	switch r.Action {
	case plan.ActLookup:
		say(true, "lookup %d", r.Table)
	case plan.ActGoto:
		say(true, "goto %d", r.Goto)
	default:
		say(true, "%s", actionName(r.Action))
	}
	say(r.SuppressPrefix != 0, "suppress_prefixlength %d", int64(r.SuppressPrefix)-1)
	say(r.Protocol != plan.Protocol, "proto %d", r.Protocol)
	say(r.Foreign != "", "%s", r.Foreign)
	return b.String()
}

func actionName(a plan.RuleAction) string {
	switch a {
	case plan.ActNop:
		return "nop"
	case plan.ActBlackhole:
		return "blackhole"
	case plan.ActUnreachable:
		return "unreachable"
	case plan.ActProhibit:
		return "prohibit"
	}
	return fmt.Sprintf("action %d", a)
}

// describeRoute names a route in the syntax of ip-route(8), for errors.
func describeRoute(r plan.Route) string {
	var b strings.Builder
	fmt.Fprintf(&b, "ip -%d route", r.Family)
	if r.Kind != plan.Unicast {
		fmt.Fprintf(&b, " %s", kindName(r.Kind))
	}
	if r.Dst.Bits() == 0 {
		b.WriteString(" default")
	} else {
		fmt.Fprintf(&b, " %s", r.Dst)
	}
	for _, h := range r.Hops {
		if len(r.Hops) > 1 {
			b.WriteString(" nexthop")
		}
		if h.Via.IsValid() {
			fmt.Fprintf(&b, " via %s", h.Via)
		}
		fmt.Fprintf(&b, " dev %s", h.Dev)
		if len(r.Hops) > 1 {
			fmt.Fprintf(&b, " weight %d", h.Weight)
		}
		if h.Onlink {
			b.WriteString(" onlink")
		}
	}
	fmt.Fprintf(&b, " table %d metric %d", r.Table, r.Metric)
	if r.Protocol != plan.Protocol {
		fmt.Fprintf(&b, " proto %d", r.Protocol)
	}
	if r.Foreign != "" {
		b.WriteString(" " + r.Foreign)
	}
	return b.String()
}

// kindNames are ip-route(8)'s names for RTN_* (linux/rtnetlink.h).
var kindNames = [...]string{"unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole",
	"unreachable", "prohibit", "throw", "nat", "xresolve"}

func kindName(k plan.RouteKind) string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("type %d", k)
}
