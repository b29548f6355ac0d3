// Package graph draws a policy: policies and rules lead to tables and balances, these to uplinks.
// The way that new connections take now is strong, what cannot be used is grey and says why.
//
//	g := graph.New(doc, nil)     // the policy alone: every uplink counts as usable
//	g := graph.New(doc, &live)   // with what the kernel has and the uplinks' states
//	graph.SVG(w, g, graph.Style{Standalone: true})
//
// It is pure: no kernel, clock or file.
package graph

// Kind is what a node stands for.
type Kind string

// The kinds of nodes, from left to right.
const (
	Policy  Kind = "policy"
	Rule    Kind = "rule"
	Rest    Kind = "rest" // what no policy and no rule catches
	Balance Kind = "balance"
	Table   Kind = "table"
	Uplink  Kind = "uplink"
	// Nowhere is where connections end that get no way: unreachable, prohibited or dropped.
	Nowhere Kind = "nowhere"
)

// Graph is a policy as nodes and the ways between them.
type Graph struct {
	// Live means that states and hits are this router's now; otherwise they are what the policy
	// alone says.
	Live  bool   `json:"live"`
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// Node is a policy, rule, balance, table or uplink.
type Node struct {
	// ID is unique in the graph, as "table/to2".
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// Detail is more to read: an uplink's interface and state, a balance's method, "strict".
	Detail string `json:"detail,omitempty"`
	// Hits are the connections that a policy has caught; nil where that is not known.
	Hits *uint64 `json:"hits,omitempty"`
	// Unusable means that new connections cannot use it; Why says the reason, or what is wrong
	// otherwise.
	Unusable bool   `json:"unusable"`
	Why      string `json:"why,omitempty"`
	// several is how many uplinks a picture has in this one, 0 for one alone.
	several int
}

// Several reports whether a picture has several uplinks in this node.
func (n *Node) Several() bool { return n.several > 0 }

// Edge is a way from one node to another.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Label is a route's distance or a member's share.
	Label string `json:"label,omitempty"`
	// InUse means that new connections go this way now.
	InUse bool `json:"in_use"`
	// Unusable means that they cannot.
	Unusable bool `json:"unusable"`
}

// Node returns the node of an ID, nil if there is none.
func (g *Graph) Node(id string) *Node {
	for i := range g.Nodes {
		if g.Nodes[i].ID == id {
			return &g.Nodes[i]
		}
	}
	return nil
}

// From returns the edges that leave a node, in their order.
func (g *Graph) From(id string) (list []Edge) {
	for _, e := range g.Edges {
		if e.From == id {
			list = append(list, e)
		}
	}
	return list
}

// selects reports whether a kind is of the left column.
func (k Kind) selects() bool { return k == Policy || k == Rule || k == Rest }
