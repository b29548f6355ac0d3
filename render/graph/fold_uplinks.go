package graph

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// foldedUplinks returns the graph with uplinks that the same tables and balances lead to in the
// same way, all of them in use, in reserve, or not usable, as one node, where there are more than a
// picture has room for. A few alike stay as they are.
func foldedUplinks(g *Graph) *Graph {
	if count(g, func(k Kind) bool { return k == Uplink }) <= foldAbove {
		return g
	}
	leads := leadingTo(g)
	byKey, keys := map[string][]Node{}, []string{}
	for _, n := range g.Nodes {
		if n.Kind != Uplink {
			continue
		}
		key := fmt.Sprint(n.Unusable, leads[n.ID])
		if byKey[key] == nil {
			keys = append(keys, key)
		}
		byKey[key] = append(byKey[key], n)
	}
	becomes := map[string]string{} // the ID of the group that an uplink is in
	groups := map[string]Node{}
	for _, key := range keys {
		if alike := byKey[key]; len(alike) > foldNames {
			for _, n := range alike {
				becomes[n.ID] = alike[0].ID
			}
			groups[alike[0].ID] = oneOf(alike)
		}
	}
	out := &Graph{Live: g.Live}
	for _, n := range g.Nodes {
		switch group := becomes[n.ID]; {
		case group == "":
			out.Nodes = append(out.Nodes, n)
		case group == n.ID:
			out.Nodes = append(out.Nodes, groups[group])
		}
	}
	out.Edges = merged(g.Edges, becomes)
	return out
}

// leadingTo tells, by uplink, what tables and balances lead to it, and how.
func leadingTo(g *Graph) map[string][]string {
	kinds := map[string]Kind{}
	for _, n := range g.Nodes {
		kinds[n.ID] = n.Kind
	}
	out := map[string][]string{}
	for _, e := range g.Edges {
		if kinds[e.To] == Uplink && !kinds[e.From].selects() {
			out[e.To] = append(out[e.To], fmt.Sprint(e.From, e.InUse, e.Unusable))
		}
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}

// oneOf is one node for several uplinks. Its detail has all of their names.
func oneOf(alike []Node) Node {
	out := Node{ID: alike[0].ID, Kind: Uplink, Name: fmt.Sprintf("%d uplinks", len(alike)), Unusable: alike[0].Unusable,
		several: len(alike)}
	var names []string
	reasons := map[string]bool{}
	for _, n := range alike {
		names = append(names, n.Name)
		if n.Why != "" {
			reasons[n.Why] = true
		}
	}
	out.Detail = strings.Join(names, ", ")
	switch list := slices.Sorted(maps.Keys(reasons)); len(list) {
	case 0:
	case 1:
		out.Why = list[0]
	default:
		out.Why = fmt.Sprintf("%d reasons: %s", len(list), strings.Join(list, "; "))
	}
	return out
}

// merged has the edges that lead to uplinks of a group lead to the group, those alike as one.
func merged(edges []Edge, becomes map[string]string) (out []Edge) {
	places, labels := map[Edge]int{}, map[int][]string{}
	for _, e := range edges {
		group := becomes[e.To]
		if group == "" {
			out = append(out, e)
			continue
		}
		alike := Edge{From: e.From, To: group, InUse: e.InUse, Unusable: e.Unusable}
		at, known := places[alike]
		if !known {
			at, places[alike], out = len(out), len(out), append(out, alike)
		}
		labels[at] = append(labels[at], e.Label)
	}
	for at, list := range labels {
		out[at].Label = span(list)
	}
	return out
}

// span is one label for several: "distance 2 to 180".
func span(labels []string) string {
	first := labels[0]
	if !slices.ContainsFunc(labels, func(l string) bool { return l != first }) {
		if len(labels) > 1 && strings.HasSuffix(first, "%") {
			return first + " each"
		}
		return first
	}
	word, least, most := "", 0, 0
	for i, l := range labels {
		at := strings.LastIndexByte(l, ' ') + 1
		n, err := strconv.Atoi(l[at:])
		if err != nil || i > 0 && l[:at] != word {
			return first + ", ..."
		}
		if i == 0 {
			word, least, most = l[:at], n, n
		}
		least, most = min(least, n), max(most, n)
	}
	return fmt.Sprintf("%s%d to %d", word, least, most)
}
