package graph

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// foldAbove is how many policies and rules, or uplinks, a picture shows one by one.
	foldAbove = 30
	// foldNames is how many of those that share a way are named, and how many uplinks alike stay
	// apart.
	foldNames = 3
)

// Folded returns the graph with uplinks that are alike, and then the policies and rules of the same
// ways, as one node, where there are more than a picture has room for.
func Folded(g *Graph) *Graph {
	g = foldedUplinks(g)
	if count(g, Kind.selects) <= foldAbove {
		return g
	}
	out := &Graph{Live: g.Live}
	for _, group := range groups(g) {
		out.Nodes = append(out.Nodes, folded(group.nodes))
		for _, e := range group.edges {
			e.From = group.nodes[0].ID
			out.Edges = append(out.Edges, e)
		}
	}
	for _, n := range g.Nodes {
		if !n.Kind.selects() {
			out.Nodes = append(out.Nodes, n)
			out.Edges = append(out.Edges, g.From(n.ID)...)
		}
	}
	return out
}

// count is how many nodes of some kinds there are.
func count(g *Graph, such func(Kind) bool) (n int) {
	for i := range g.Nodes {
		if such(g.Nodes[i].Kind) {
			n++
		}
	}
	return n
}

// group is the policies, or the rules, that lead the same ways.
type group struct {
	nodes []Node
	edges []Edge
}

// groups gathers policies and rules by kind and ways, in the order of the first of each.
func groups(g *Graph) (list []*group) {
	ways := map[string][]Edge{}
	for _, e := range g.Edges {
		ways[e.From] = append(ways[e.From], e)
	}
	byWay := map[string]*group{}
	for _, n := range g.Nodes {
		if !n.Kind.selects() {
			continue
		}
		key := string(n.Kind)
		for _, e := range ways[n.ID] {
			key += fmt.Sprintf("|%s %s %v", e.To, e.Label, e.InUse)
		}
		if byWay[key] == nil {
			byWay[key] = &group{edges: ways[n.ID]}
			list = append(list, byWay[key])
		}
		byWay[key].nodes = append(byWay[key].nodes, n)
	}
	return list
}

// folded is one node for several.
func folded(nodes []Node) Node {
	out := nodes[0]
	if len(nodes) == 1 {
		return out
	}
	var names []string
	out.Hits, out.Detail = sumHits(nodes), ""
	for _, n := range nodes[:min(foldNames, len(nodes))] {
		names = append(names, n.Name)
	}
	noun := map[Kind]string{Policy: "policies", Rule: "rules"}[out.Kind]
	out.Name = fmt.Sprintf("%d %s", len(nodes), noun)
	out.Detail = strings.Join(names, ", ")
	if len(nodes) > foldNames {
		out.Detail += ", ..."
	}
	if at := slices.IndexFunc(nodes, func(n Node) bool { return n.Why != "" }); at >= 0 {
		out.Why = nodes[at].Why
	}
	return out
}

func sumHits(nodes []Node) *uint64 {
	var sum *uint64
	for _, n := range nodes {
		if n.Hits != nil {
			if sum == nil {
				sum = new(uint64)
			}
			*sum += *n.Hits
		}
	}
	return sum
}
