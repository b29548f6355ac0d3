package render

import (
	"fmt"
	"io"
	"net/netip"

	"pbr/compiler/plan"
)

// JSON writes the whole plan in human units: addresses and prefixes as text, marks and masks as
// "0x12000000", fields and statements by nft's names, routes and rules by iproute2's. The keys are
// stable: later versions add, and neither rename nor remove. Lists are in the plan's order, never
// null.
func JSON(w io.Writer, p *plan.Plan) error { return writeJSON(w, viewPlan(p)) }

// planView is the document.
type planView struct {
	// MarkMask has the bits of fwmark and ct mark that pbr owns.
	MarkMask string `json:"mark_mask"`
	// InsideBit is the bit of them that ct marks of connections opened from inside have.
	InsideBit string `json:"inside_bit,omitempty"`
	// RulePriorities are the first and last ip rule priority that pbr owns.
	RulePriorities [2]uint32      `json:"rule_priorities"`
	Tables         []tableView    `json:"tables"`
	Comments       []commentView  `json:"comments"`
	Sysctls        []sysctlView   `json:"sysctls"`
	Routes         []routeView    `json:"routes"`
	Rules          []ruleView     `json:"rules"`
	NFTables       rulesetView    `json:"nftables"`
	Dynamic        []dynamicView  `json:"dynamic"`
	Deferred       []deferredView `json:"waiting"`
}

// tableView is a routing table with its name and mark; no mark for default's.
type tableView struct {
	Name string `json:"name"`
	ID   uint32 `json:"id"`
	Mark string `json:"mark,omitempty"`
}

// commentView is what the policy file says of an object.
type commentView struct {
	Object string `json:"object"`
	Text   string `json:"text"`
}

// sysctlView is a kernel setting, its path below /proc/sys.
type sysctlView struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// deferredView is a part of the policy that the machine is not ready for.
type deferredView struct {
	Object string `json:"object"`
	Reason string `json:"reason"`
}

// dynamicView stands for rules that depend on the live machine. Kind is "sources" (one rule from
// each address of the interface) or "connected" (one rule to each network that main reaches
// directly).
type dynamicView struct {
	Kind      string `json:"kind"`
	Family    uint8  `json:"family"`
	Interface string `json:"interface,omitempty"`
	Uplink    string `json:"uplink,omitempty"`
	Table     uint32 `json:"table"`
	Priority  uint32 `json:"priority"`
	// Fwmark is mark/mask.
	Fwmark string `json:"fwmark,omitempty"`
	// SuppressPrefixLength is absent when routes of every length count.
	SuppressPrefixLength *uint32 `json:"suppress_prefixlength,omitempty"`
}

// routeView is a route. Type is "unicast", "unreachable" and so on; Dst 0.0.0.0/0 or ::/0 is the
// default route.
type routeView struct {
	Family    uint8     `json:"family"`
	Table     uint32    `json:"table"`
	TableName string    `json:"table_name,omitempty"`
	Type      string    `json:"type"`
	Dst       string    `json:"dst"`
	Metric    uint32    `json:"metric"`
	Protocol  uint8     `json:"protocol"`
	Hops      []hopView `json:"hops"`
	Foreign   string    `json:"foreign,omitempty"`
}

// hopView is a next hop. Via is absent on a device route, and "auto" where it is main's gateway for
// the device.
type hopView struct {
	Dev    string `json:"dev"`
	Via    string `json:"via,omitempty"`
	Weight int    `json:"weight"`
	Onlink bool   `json:"onlink,omitempty"`
}

// ruleView is an ip rule; absent selectors do not select. Ranges are "FROM-TO", or one number.
type ruleView struct {
	Family    uint8  `json:"family"`
	Priority  uint32 `json:"priority"`
	Not       bool   `json:"not,omitempty"`
	Src       string `json:"src,omitempty"`
	Dst       string `json:"dst,omitempty"`
	IIF       string `json:"iif,omitempty"`
	OIF       string `json:"oif,omitempty"`
	TOS       string `json:"tos,omitempty"`
	DSCP      *uint8 `json:"dscp,omitempty"`
	IPProto   uint8  `json:"ipproto,omitempty"`
	SPort     string `json:"sport,omitempty"`
	DPort     string `json:"dport,omitempty"`
	UID       string `json:"uid,omitempty"`
	Fwmark    string `json:"fwmark,omitempty"`
	Action    string `json:"action"`
	Table     uint32 `json:"table,omitempty"`
	TableName string `json:"table_name,omitempty"`
	// SuppressPrefixLength omits routes of this length and shorter ones.
	SuppressPrefixLength *uint32 `json:"suppress_prefixlength,omitempty"`
	Goto                 uint32  `json:"goto,omitempty"`
	Protocol             uint8   `json:"protocol"`
	Foreign              string  `json:"foreign,omitempty"`
}

func viewPlan(p *plan.Plan) planView {
	names := map[uint32]string{}
	v := planView{
		MarkMask: mark(p.Mask), InsideBit: markOrNone(p.Inside), RulePriorities: [2]uint32{p.BasePriority,
			p.BasePriority + plan.PrioritySpan - 1},
		Tables: []tableView{}, NFTables: viewRuleset(&p.Ruleset),
	}
	for _, n := range p.Numbers {
		names[n.Table] = n.Name
		t := tableView{Name: n.Name, ID: n.Table}
		if n.Mark != 0 {
			t.Mark = mark(n.Mark)
		}
		v.Tables = append(v.Tables, t)
	}
	v.Comments = views(p.Comments, func(c *plan.Comment) commentView { return commentView(*c) })
	v.Sysctls = views(p.Sysctls, func(s *plan.Sysctl) sysctlView { return sysctlView{s.Path, s.Value} })
	v.Routes = views(p.Routes, func(r *plan.Route) routeView { return viewRoute(r, names) })
	v.Rules = views(p.Rules, func(r *plan.Rule) ruleView { return viewRule(r, names) })
	v.Dynamic = views(p.Dynamic, viewDynamic)
	v.Deferred = views(p.Deferred, func(x *plan.Deferred) deferredView { return deferredView{x.Object, x.Reason} })
	return v
}

// views returns the view of each entry; an empty list, not nil, when there is none.
func views[T, V any](list []T, view func(*T) V) []V {
	out := make([]V, 0, len(list))
	for i := range list {
		out = append(out, view(&list[i]))
	}
	return out
}

func mark(v uint32) string { return string(appendMark(nil, v)) }

// fwmark is a mark and its mask, nothing when there is no mask.
func fwmark(value, mask uint32) string {
	if mask == 0 {
		return ""
	}
	return mark(value) + "/" + mark(mask)
}

func viewDynamic(d *plan.Dynamic) dynamicView {
	kind := "sources"
	if d.Kind == plan.ConnectedRules {
		kind = "connected"
	}
	v := dynamicView{
		Kind: kind, Family: uint8(d.Family), Interface: d.Interface, Uplink: d.Uplink,
		Table: dynamicTable(d), Priority: d.Priority, Fwmark: fwmark(d.Mark, d.MarkMask),
	}
	if d.SuppressPrefix > 0 {
		length := d.SuppressPrefix - 1
		v.SuppressPrefixLength = &length
	}
	return v
}

func viewRoute(r *plan.Route, names map[uint32]string) routeView {
	kind := "unicast"
	if r.Kind != plan.Unicast {
		kind = string(appendNamed(nil, routeKinds, uint8(r.Kind)))
	}
	return routeView{
		Family: uint8(r.Family), Table: r.Table, TableName: names[r.Table], Type: kind, Dst: r.Dst.String(),
		Metric: r.Metric, Protocol: r.Protocol, Hops: views(r.Hops, viewHop), Foreign: r.Foreign,
	}
}

func viewHop(h *plan.Hop) hopView {
	v := hopView{Dev: h.Dev, Weight: h.Weight, Onlink: h.Onlink}
	switch {
	case h.Auto:
		v.Via = "auto"
	case h.Via.IsValid():
		v.Via = h.Via.String()
	}
	return v
}

func viewRule(r *plan.Rule, names map[uint32]string) ruleView {
	v := ruleView{
		Family: uint8(r.Family), Priority: r.Priority, Not: r.Invert, Src: prefix(r.Src), Dst: prefix(r.Dst),
		IIF: r.IIF, OIF: r.OIF, IPProto: r.Proto, SPort: ports(r.SPort), DPort: ports(r.DPort),
		Fwmark: fwmark(r.Mark, r.MarkMask), Action: "lookup", Table: r.Table, TableName: names[r.Table],
		Goto: r.Goto, Protocol: r.Protocol, Foreign: r.Foreign,
	}
	switch r.Action {
	case plan.ActLookup:
	case plan.ActGoto:
		v.Action = "goto"
	default:
		v.Action = string(appendNamed(nil, ruleActions, uint8(r.Action)))
	}
	if r.TOS != 0 {
		v.TOS = string(appendHex8(nil, r.TOS))
	}
	if r.DSCP != 0 {
		dscp := r.DSCP - 1
		v.DSCP = &dscp
	}
	if r.HasUID {
		v.UID = fmt.Sprintf("%d-%d", r.UID.From, r.UID.To)
	}
	if r.SuppressPrefix != 0 {
		n := r.SuppressPrefix - 1
		v.SuppressPrefixLength = &n
	}
	return v
}

func prefix(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func ports(p plan.PortRange) string { return string(appendPorts(nil, "", p)) }
