package render

import (
	"net/netip"

	"pbr/compiler/plan"
)

// ruleActions are iproute2's words for actions that need nothing else; FR_ACT_BLACKHOLE drops.
var ruleActions = []string{
	plan.ActNop: "nop", plan.ActBlackhole: "blackhole", plan.ActUnreachable: "unreachable", plan.ActProhibit: "prohibit",
}

// appendRule adds an ip rule as `ip rule add` takes it, from its priority on.
func appendRule(b []byte, r *plan.Rule) []byte {
	b = appendUint(append(b, "priority "...), r.Priority)
	if r.Invert {
		b = append(b, " not"...)
	}
	b = appendSelectors(b, r)
	switch r.Action {
	case plan.ActLookup:
		b = appendTable(append(b, " lookup "...), r.Table)
		if r.SuppressPrefix > 0 {
			b = appendUint(append(b, " suppress_prefixlength "...), r.SuppressPrefix-1)
		}
	case plan.ActGoto:
		b = appendUint(append(b, " goto "...), r.Goto)
	default:
		b = appendNamed(append(b, ' '), ruleActions, uint8(r.Action))
	}
	b = appendUint(append(b, " protocol "...), r.Protocol)
	if r.Foreign != "" {
		b = appendLine(append(b, ' '), r.Foreign)
	}
	return b
}

// appendSelectors adds what a rule looks at, each after a space, in the order in which ip lists it.
func appendSelectors(b []byte, r *plan.Rule) []byte {
	b = append(b, " from "...)
	if r.Src.IsValid() {
		b = r.Src.AppendTo(b)
	} else {
		b = append(b, "all"...)
	}
	b = appendPrefix(b, " to ", r.Dst)
	if r.TOS != 0 {
		b = appendHex8(append(b, " tos "...), r.TOS)
	}
	if r.DSCP != 0 {
		b = appendUint(append(b, " dscp "...), r.DSCP-1)
	}
	b = appendFwmark(b, r.Mark, r.MarkMask)
	if r.IIF != "" {
		b = append(append(b, " iif "...), shellWord(r.IIF)...)
	}
	if r.OIF != "" {
		b = append(append(b, " oif "...), shellWord(r.OIF)...)
	}
	if r.HasUID {
		b = appendUint(append(b, " uidrange "...), r.UID.From)
		b = appendUint(append(b, '-'), r.UID.To)
	}
	if r.Proto != 0 {
		b = appendUint(append(b, " ipproto "...), r.Proto)
	}
	b = appendPorts(b, " sport ", r.SPort)
	return appendPorts(b, " dport ", r.DPort)
}

func appendFwmark(b []byte, mark, mask uint32) []byte {
	if mask == 0 {
		return b
	}
	b = appendMark(append(b, " fwmark "...), mark)
	return appendMark(append(b, '/'), mask)
}

func appendPrefix(b []byte, word string, p netip.Prefix) []byte {
	if !p.IsValid() {
		return b
	}
	return p.AppendTo(append(b, word...))
}

func appendPorts(b []byte, word string, p plan.PortRange) []byte {
	if p == (plan.PortRange{}) {
		return b
	}
	b = appendUint(append(b, word...), p.From)
	if p.To == p.From {
		return b
	}
	return appendUint(append(b, '-'), p.To)
}

// appendDynamic adds the rules that d stands for as one, with NETWORK or ADDRESS where a live
// machine's go.
func appendDynamic(b []byte, d *plan.Dynamic) []byte {
	b = appendUint(append(b, "priority "...), d.Priority)
	if d.Kind == plan.ConnectedRules {
		b = append(b, " from all to NETWORK"...)
	} else {
		b = append(b, " from ADDRESS"...)
	}
	b = appendFwmark(b, d.Mark, d.MarkMask)
	b = appendDynamicLookup(b, d)
	return appendUint(append(b, " protocol "...), uint8(plan.Protocol))
}

// appendDynamicLookup adds the look-up of d's rules.
func appendDynamicLookup(b []byte, d *plan.Dynamic) []byte {
	b = appendTable(append(b, " lookup "...), dynamicTable(d))
	if d.SuppressPrefix > 0 {
		b = appendUint(append(b, " suppress_prefixlength "...), d.SuppressPrefix-1)
	}
	return b
}

// dynamicTable is the table that d's rules look into.
func dynamicTable(d *plan.Dynamic) uint32 {
	if d.Kind == plan.ConnectedRules {
		return plan.MainTable
	}
	return d.Table
}
