package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/policy"
)

// Live is what is known besides the policy.
type Live struct {
	// Uplinks are states by name; one that is absent counts as usable.
	Uplinks map[string]State
	// Ways are the routes that the kernel takes.
	Ways []Way
	// Members tells, by balance and member, whether the balance gives it new connections.
	Members map[[2]string]bool
	// Hits are by policy; Problems tell what is wrong by the ID of a policy or rule.
	Hits     map[string]uint64
	Problems map[string]string
	// Instead has the policies that use default because their target is not usable, Refused those
	// whose connections are unreachable.
	Instead, Refused map[string]bool
}

// PolicyID and RuleID are the nodes of a policy and a rule.
func PolicyID(name string) string { return string(Policy) + "/" + name }
func RuleID(name string) string   { return string(Rule) + "/" + name }

// State is an uplink's.
type State struct {
	Name   string // "up", "down", ...
	Usable bool
	Why    string
}

// Way is the best route of a table to a destination in one IP version.
type Way struct {
	Table string
	// Destination is a prefix, or "default".
	Destination string
	Version     int
	Uplinks     []string
	// Kept means that none of them is usable: the route stays because the table has no other.
	Kept bool
}

// everywhere is the Destination of a default route.
const everywhere = "default"

// builder makes a graph.
type builder struct {
	doc  *policy.Document
	live *Live
	g    *Graph
}

// New draws a policy; live is nil for the policy alone.
func New(doc *policy.Document, live *Live) *Graph {
	b := &builder{doc: doc, live: live, g: &Graph{Live: live != nil, Nodes: []Node{}, Edges: []Edge{}}}
	if live == nil {
		b.live = &Live{}
	}
	for i := range doc.Policies {
		b.policy(&doc.Policies[i])
	}
	for i := range doc.Rules {
		b.rule(&doc.Rules[i])
	}
	if doc.Default != nil {
		b.node(Node{ID: string(Rest), Kind: Rest, Name: "everything else"})
		b.edge(Edge{From: string(Rest), To: tableID(doc.Default.Name), InUse: true})
	}
	for i := range doc.Balances {
		b.balance(&doc.Balances[i])
	}
	for i := range doc.Tables {
		b.table(&doc.Tables[i])
	}
	if doc.Default != nil {
		b.table(doc.Default)
	}
	b.main()
	for i := range doc.Uplinks {
		b.uplink(&doc.Uplinks[i])
	}
	b.nowhere()
	return b.g
}

func tableID(name string) string   { return string(Table) + "/" + name }
func uplinkID(name string) string  { return string(Uplink) + "/" + name }
func balanceID(name string) string { return string(Balance) + "/" + name }

const mainID = "table/main"

func (b *builder) node(n Node) { b.g.Nodes = append(b.g.Nodes, n) }
func (b *builder) edge(e Edge) { b.g.Edges = append(b.g.Edges, e) }

// usable reports whether an uplink may take new connections.
func (b *builder) usable(uplink string) bool {
	s, known := b.live.Uplinks[uplink]
	return !known || s.Usable
}

// target is the node that a target leads to.
func (b *builder) target(t policy.Target) string {
	switch t.Kind {
	case policy.ToTable:
		if slices.ContainsFunc(b.doc.Uplinks, func(u policy.Uplink) bool { return u.Name == t.Name }) {
			return uplinkID(t.Name) // an uplink's pinned table
		}
		return tableID(t.Name)
	case policy.ToUplink:
		return uplinkID(t.Name)
	case policy.ToBalance:
		return balanceID(t.Name)
	case policy.ToMain:
		return mainID
	case policy.ToDefault:
		if b.doc.Default != nil {
			return tableID(b.doc.Default.Name)
		}
		return mainID
	}
	return string(Nowhere)
}

// defaultID is where connections go that no policy has a way for.
func (b *builder) defaultID() string { return b.target(policy.Target{Kind: policy.ToDefault}) }

func (b *builder) policy(p *policy.Policy) {
	n := Node{ID: PolicyID(p.Name), Kind: Policy, Name: p.Name, Why: b.live.Problems[PolicyID(p.Name)]}
	if p.Strict {
		n.Detail = "strict"
	}
	if hits, known := b.live.Hits[p.Name]; known {
		n.Hits = &hits
	}
	n.Unusable = b.live.Refused[n.ID]
	b.node(n)
	switch p.Target.Kind {
	case policy.ToUnreachable:
		b.edge(Edge{From: n.ID, To: string(Nowhere), Label: unreachable, InUse: true})
	case policy.ToDrop:
		b.edge(Edge{From: n.ID, To: string(Nowhere), Label: drop, InUse: true})
	default:
		b.leads(n.ID, b.target(p.Target))
	}
}

// What happens to connections that get no way.
const unreachable, drop = "unreachable", "drop"

// leads adds the way of a policy or rule, and the one that it takes instead.
func (b *builder) leads(from, to string) {
	instead, refused := b.live.Instead[from], b.live.Refused[from]
	b.edge(Edge{From: from, To: to, InUse: !instead && !refused, Unusable: instead || refused})
	switch {
	case refused:
		b.edge(Edge{From: from, To: string(Nowhere), Label: "now", InUse: true})
	case instead && to != b.defaultID():
		b.edge(Edge{From: from, To: b.defaultID(), Label: "instead", InUse: true})
	}
}

var ruleActions = map[policy.RuleAction]string{
	policy.RuleUnreachable: unreachable, policy.RuleProhibit: "prohibit", policy.RuleDrop: drop,
	policy.RuleLookupOnly: "lookup-only-in-table",
}

func (b *builder) rule(r *policy.Rule) {
	n := Node{ID: RuleID(r.Name), Kind: Rule, Name: r.Name, Detail: strings.TrimSpace("rule " + ruleActions[r.Action]),
		Why: b.live.Problems[RuleID(r.Name)]}
	b.node(n)
	if r.Action == policy.RuleLookup || r.Action == policy.RuleLookupOnly {
		b.edge(Edge{From: n.ID, To: b.target(r.Target), InUse: true})
		return
	}
	b.edge(Edge{From: n.ID, To: string(Nowhere), Label: ruleActions[r.Action], InUse: true})
}

func (b *builder) balance(bal *policy.Balance) {
	detail := string(bal.Method)
	if bal.Sticky.Time > 0 {
		detail += ", sticky"
	}
	b.node(Node{ID: balanceID(bal.Name), Kind: Balance, Name: bal.Name, Detail: detail})
	total := 0
	for _, m := range bal.Members {
		if b.takes(bal.Name, m.Target) {
			total += m.Weight
		}
	}
	for _, m := range bal.Members {
		e := Edge{From: balanceID(bal.Name), To: b.target(m.Target), Label: fmt.Sprintf("weight %d", m.Weight)}
		if e.InUse = b.takes(bal.Name, m.Target); e.InUse {
			e.Label = fmt.Sprintf("%d %%", (200*m.Weight+total)/(2*total))
		}
		e.Unusable = !e.InUse
		b.edge(e)
	}
}

// takes reports whether a member gets new connections.
func (b *builder) takes(balance string, member policy.Target) bool {
	takes, known := b.live.Members[[2]string{balance, member.Name}]
	return takes || !known && b.usable(member.Name)
}

func (b *builder) table(t *policy.Table) {
	n := Node{ID: tableID(t.Name), Kind: Table, Name: t.Name}
	if t.Strict {
		n.Detail = "strict"
	}
	edges := b.routes(t)
	if len(edges) > 0 && !slices.ContainsFunc(edges, func(e Edge) bool { return e.InUse }) {
		n.Unusable, n.Why = true, "no usable uplink"
		if b.g.Live && t.Strict {
			edges = append(edges, Edge{From: n.ID, To: string(Nowhere), Label: "now", InUse: true})
		} else if b.g.Live && n.ID != b.defaultID() {
			n.Why += ": default is used"
		}
	}
	b.node(n)
	b.g.Edges = append(b.g.Edges, edges...)
}

// routes are a table's, one edge for each uplink.
func (b *builder) routes(t *policy.Table) (edges []Edge) {
	best := b.best(t)
	for i := range t.Routes {
		r := &t.Routes[i]
		label := fmt.Sprintf("distance %d", r.Distance)
		if r.Weight > 1 {
			label += fmt.Sprintf(", weight %d", r.Weight)
		}
		dst := everywhere
		if r.Dst.IsValid() {
			dst = r.Dst.String()
			label = dst + " " + label
		}
		versions := best[[2]string{dst, r.Uplink}]
		switch {
		case versions == "4" && b.twoVersions(t.Name, dst):
			label += ", IPv4"
		case versions == "6" && b.twoVersions(t.Name, dst):
			label += ", IPv6"
		}
		if versions != "" && b.kept(t.Name, dst) {
			label += ", kept"
		}
		e := Edge{From: tableID(t.Name), To: uplinkID(r.Uplink), Label: label, InUse: versions != "", Unusable: !b.usable(r.Uplink)}
		if at := slices.IndexFunc(edges, func(o Edge) bool { return o.To == e.To }); at >= 0 {
			edges[at].Label += "; " + e.Label
			edges[at].InUse = edges[at].InUse || e.InUse
			continue
		}
		edges = append(edges, e)
	}
	return edges
}

// best has the versions in which each uplink carries a destination of a table: what the kernel
// has, or the lowest distance.
func (b *builder) best(t *policy.Table) map[[2]string]string {
	out := map[[2]string]string{}
	if b.g.Live {
		for _, w := range b.live.Ways {
			for _, u := range w.Uplinks {
				if k := [2]string{w.Destination, u}; w.Table == t.Name && !strings.Contains(out[k], fmt.Sprint(w.Version)) {
					out[k] += fmt.Sprint(w.Version)
				}
			}
		}
		return out
	}
	lowest := map[string]uint32{}
	for _, r := range t.Routes {
		dst := destination(&r)
		if d, seen := lowest[dst]; !seen || r.Distance < d {
			lowest[dst] = r.Distance
		}
	}
	for _, r := range t.Routes {
		if r.Distance == lowest[destination(&r)] {
			out[[2]string{destination(&r), r.Uplink}] = "46"
		}
	}
	return out
}

func destination(r *policy.Route) string {
	if !r.Dst.IsValid() {
		return everywhere
	}
	return r.Dst.String()
}

// twoVersions reports whether a table carries a destination in both versions.
func (b *builder) twoVersions(table, dst string) bool {
	seen := map[int]bool{}
	for _, w := range b.live.Ways {
		if w.Table == table && w.Destination == dst && len(w.Uplinks) > 0 {
			seen[w.Version] = true
		}
	}
	return len(seen) > 1
}

// kept reports whether a table keeps its last route to a destination, over an uplink that is not
// usable.
func (b *builder) kept(table, dst string) bool {
	return slices.ContainsFunc(b.live.Ways, func(w Way) bool { return w.Table == table && w.Destination == dst && w.Kept })
}

// main adds the kernel's main table, if something leads to it.
func (b *builder) main() {
	if slices.ContainsFunc(b.g.Edges, func(e Edge) bool { return e.To == mainID }) && b.g.Node(mainID) == nil {
		b.node(Node{ID: mainID, Kind: Table, Name: "main", Detail: "the kernel's main table"})
	}
}

func (b *builder) uplink(u *policy.Uplink) {
	n := Node{ID: uplinkID(u.Name), Kind: Uplink, Name: u.Name, Detail: u.Interface}
	if s, known := b.live.Uplinks[u.Name]; known {
		n.Detail = strings.TrimSpace(u.Interface + " " + s.Name)
		if n.Unusable = !s.Usable; n.Unusable {
			n.Why = cmp.Or(s.Why, s.Name)
		}
	}
	b.node(n)
}

// nowhere adds the end of connections without a way, if there are any.
func (b *builder) nowhere() {
	n := Node{ID: string(Nowhere), Kind: Nowhere}
	for _, e := range b.g.Edges {
		switch {
		case e.To != n.ID:
		case e.Label == drop:
			n.Name = "unreachable or dropped"
		case n.Name == "":
			n.Name = "unreachable"
		}
	}
	if n.Name != "" {
		b.node(n)
	}
}
