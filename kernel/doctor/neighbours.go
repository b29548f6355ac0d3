package doctor

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/plan"
)

// owner is a program whose ip rules have a known form.
type owner string

const (
	nobody     owner = ""
	tailscale  owner = "Tailscale"
	netbird    owner = "NetBird"
	wgQuick    owner = "wg-quick"
	keepalived owner = "keepalived"
	pbrd       owner = "FRR pbrd"
)

// Numbers in the programs' ip rules, from their sources.
const (
	tailscaleTable = 52
	tailscaleMask  = 0xff0000
	netbirdTable   = 7120 // 0x1bd0
	// keepalivedProtocol is RTPROT_KEEPALIVED, zebraProtocol RTPROT_ZEBRA (linux/rtnetlink.h).
	keepalivedProtocol = 18
	zebraProtocol      = 11
	// wgQuickTable is the first table that wg-quick takes.
	wgQuickTable = 51820
)

// owners groups others' rules by program, each list in the kernel's order.
func (e *examination) owners() map[owner][]plan.Rule {
	out := map[owner][]plan.Rule{}
	for _, r := range e.facts.Rules {
		if o := e.owner(r); o != nobody {
			out[o] = append(out[o], r)
		}
	}
	return out
}

// owner returns whose rule it is.
func (e *examination) owner(r plan.Rule) owner {
	lookup := r.Action == plan.ActLookup
	switch {
	case r.Protocol == plan.Protocol:
		return nobody
	case r.Protocol == keepalivedProtocol:
		return keepalived
	case r.Protocol == zebraProtocol:
		return pbrd
	case lookup && r.Table == tailscaleTable, r.MarkMask == tailscaleMask && r.Mark&^0xf0000 == 0 && r.Mark != 0:
		return tailscale
	case lookup && r.Table == netbirdTable:
		return netbird
	case ofWGQuick(r):
		return wgQuick
	}
	if !everything(r) || r.Table != plan.MainTable || r.SuppressPrefix != 1 || r.Foreign != "" {
		return nobody
	}
	// "lookup main suppress_prefixlength 0" is the companion of a rule that takes the rest.
	for _, o := range e.facts.Rules {
		switch {
		case o.Family != r.Family:
		case o.Table == netbirdTable && o.Priority > r.Priority && o.Priority-r.Priority <= 10:
			return netbird
		case ofWGQuick(o) && max(o.Priority, r.Priority)-min(o.Priority, r.Priority) == 1:
			return wgQuick
		}
	}
	return nobody
}

// ofWGQuick reports whether a rule is "not fwmark N lookup N", N from 51820 on.
func ofWGQuick(r plan.Rule) bool {
	return r.Invert && r.MarkMask == ^uint32(0) && r.Mark == r.Table && r.Table >= wgQuickTable && r.Action == plan.ActLookup
}

// neighbours judges the ip rules of known programs.
func (e *examination) neighbours() {
	rules := e.owners()
	if r := rules[tailscale]; r != nil {
		e.tailscale(r)
	}
	if r := rules[netbird]; r != nil {
		e.netbird(r)
	}
	if r := rules[wgQuick]; r != nil {
		e.wgQuick(r)
	}
	if r := rules[keepalived]; r != nil {
		e.configured(r, keepalived, "virtual_rules", fmt.Sprintf("give them a priority below %d in keepalived.conf", e.base()))
	}
	if r := rules[pbrd]; r != nil {
		e.configured(r, pbrd, "of a pbr-map",
			fmt.Sprintf("choose a rule-priority above them for [pbr] (they are at 300 to 9999), and not %d", e.base()))
	}
}

// ahead reports whether one of the rules takes every packet before pbr's rules.
func (e *examination) ahead(rules []plan.Rule) bool {
	return slices.ContainsFunc(rules, func(r plan.Rule) bool { return r.Priority < e.base() && e.takesAll(r) })
}

// behind reports whether one of the rules that look up a table comes after pbr's, and none before
// it.
func (e *examination) behind(rules []plan.Rule, table uint32) bool {
	isBefore := func(r plan.Rule) bool { return r.Table == table && r.Priority < e.base() }
	isAfter := func(r plan.Rule) bool { return r.Table == table && r.Priority >= e.base()+plan.PrioritySpan }
	return slices.ContainsFunc(rules, isAfter) && !slices.ContainsFunc(rules, isBefore)
}

// stand says where rules are, by their priorities: "its ip rules 5210, 5230 are before pbr's".
func stand(rules []plan.Rule, where string) string {
	var numbers []string
	for _, r := range rules {
		if n := fmt.Sprint(r.Priority); !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) == 1 {
		return "its ip rule " + numbers[0] + " is " + where + " pbr's"
	}
	return "its ip rules " + few(numbers, ", ") + " are " + where + " pbr's"
}

func (e *examination) tailscale(rules []plan.Rule) {
	const tailnet = "ip rule add pref 3990 to 100.64.0.0/10 lookup 52; ip -6 rule add pref 3990 to fd7a:115c:a1e0::/48 lookup 52"
	switch {
	case e.ahead(rules):
		e.add(Fail, string(tailscale),
			"write rule-priority = 4000 into [pbr], then pbr apply: then pbr's rules come first; "+
				"or stop using the exit node: tailscale set --exit-node=",
			"%s, and table 52 has a default route (an exit node is in use): all packets go there, and no "+
				"policy, rule or [default] takes effect; Tailscale recreates its rules if they are deleted", stand(rules, "before"))
	case e.behind(rules, tailscaleTable) && e.Doc != nil && e.Doc.Default != nil:
		e.add(Warn, string(tailscale), tailnet,
			"%s, and [default] takes every packet first: packets to the tailnet are sent through an uplink", stand(rules, "behind"))
	case e.behind(rules, tailscaleTable):
		e.ok(string(tailscale), "%s: they apply to what no policy catches", stand(rules, "behind"))
	default:
		e.ok(string(tailscale), "%s, and table 52 has no default route: only packets to the tailnet go there", stand(rules, "before"))
	}
}

func (e *examination) netbird(rules []plan.Rule) {
	if !e.ahead(rules) {
		e.ok(string(netbird), "%s: table %d only routes NetBird's own networks", stand(rules, "before"), netbirdTable)
		return
	}
	do := "write rule-priority = 4000 into [pbr], then pbr apply: then pbr's rules come first"
	if lowest := slices.MinFunc(rules,
		func(a, b plan.Rule) int { return int(a.Priority) - int(b.Priority) }); lowest.Priority < 4000+plan.PrioritySpan {
		do = fmt.Sprintf("no rule-priority of pbr's is low enough: stop using the exit node (netbird networks "+
			"deselect ID), or start NetBird with NB_USE_LEGACY_ROUTING=true, "+
			"which puts its routes into main; deleted ip rules come back (the first one is %d)", lowest.Priority)
	}
	e.add(Fail, string(netbird), do,
		"%s, and table %d has a default route (an exit node is in use): all packets go there, and no "+
			"policy, rule or [default] takes effect", stand(rules, "before"), netbirdTable)
}

// wgQuick judges full tunnels: the kernel puts wg-quick's rules directly before the first rule that
// exists when the tunnel comes up.
func (e *examination) wgQuick(rules []plan.Rule) {
	const off = "write Table = off into [Interface] of the tunnel's file in /etc/wireguard, start it again, and make it an [[uplink]]"
	table := uint32(0)
	for _, r := range rules {
		table = max(table, r.Table)
	}
	tunnel := fmt.Sprintf("%s (table %d)", wgQuick, table)
	switch {
	case e.ahead(rules):
		e.add(Fail, tunnel, off+"; or write rule-priority = 3000 into [pbr], omit [default], and start the tunnel before pbr",
			"%s, because the tunnel came up after pbr: it takes all packets, and no policy, rule or "+
				"[default] takes effect", stand(rules, "before"))
	case e.behind(rules, table) && e.Doc != nil && e.Doc.Default != nil:
		e.add(Fail, tunnel, off+
			" (the first of [default], if everything should use it); or write rule-priority = 3000 into [pbr], and omit [default]",
			"%s, and [default] takes every packet first, because pbr started after the tunnel: packets "+
				"meant for the tunnel leave through an uplink, in the clear", stand(rules, "behind"))
	case e.behind(rules, table):
		e.ok(tunnel, "%s: the tunnel carries what no policy and no rule catches", stand(rules, "behind"))
	default:
		e.ok(tunnel, "%s, and its table has no default route", stand(rules, "before"))
	}
}

// configured judges ip rules that a program creates from its own configuration; they could be
// written as pbr's instead. earlier says how to put them before pbr's.
func (e *examination) configured(rules []plan.Rule, who owner, what, earlier string) {
	var before, hidden []plan.Rule
	for _, r := range rules {
		switch {
		case r.Priority < e.base():
			before = append(before, r)
		case e.Doc != nil && e.Doc.Default != nil:
			hidden = append(hidden, r)
		}
	}
	if before != nil {
		e.add(Warn, string(who), "nothing if that is intended; otherwise remove them there, and write them as [[rule]]s or policies of pbr",
			"%s (%s), the first one %s: packets that they select never reach pbr's policies and rules",
			stand(before, "before"), what, Describe(before[0]))
	}
	if hidden != nil {
		e.add(Warn, string(who), earlier+", or write them as [[rule]]s of pbr",
			"%s, and [default] takes every packet first (%s): they do nothing", stand(hidden, "behind"), what)
	}
	if before == nil && hidden == nil {
		e.ok(string(who), "%s (%s)", stand(rules, "behind"), what)
	}
}

// hasChain reports whether others have a chain of that name, such as "ip filter DOCKER-USER".
func (e *examination) hasChain(name string) bool { return slices.Contains(e.facts.Chains, name) }

// words joins names as a list for people.
func words(names []string) string { return strings.Join(names, ", ") }
