package graph

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Text writes the graph for a terminal: each way with the policies that lead to it. Doubled lines
// are the ways in use.
func Text(w io.Writer, g *Graph) error {
	var b bytes.Buffer
	for _, group := range groups(g) {
		for _, line := range nameLines(group.nodes) {
			fmt.Fprintln(&b, line)
		}
		writeWays(&b, g, group.edges, "", map[string]bool{})
		fmt.Fprintln(&b)
	}
	fmt.Fprintln(&b, "uplinks")
	for _, n := range g.Nodes {
		if n.Kind == Uplink {
			fmt.Fprintln(&b, "   "+withReason(n.Name+"  "+n.Detail, n))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// textWidth is how many columns names are broken at.
const textWidth = 80

// nameLines are the names of a group, with their hits.
func nameLines(nodes []Node) (lines []string) {
	line := ""
	for i, n := range nodes {
		text := label(n)
		if i < len(nodes)-1 {
			text += ","
		}
		switch {
		case line == "":
			line = text
		case len(line)+1+len(text) > textWidth:
			lines, line = append(lines, line), text
		default:
			line += " " + text
		}
	}
	return append(lines, line)
}

// label is a policy or rule in words.
func label(n Node) string {
	text := n.Name
	if n.Kind != Rest {
		text = string(n.Kind) + " " + n.Name
	}
	if n.Hits != nil {
		text += " (" + hits(*n.Hits) + ")"
	}
	return text
}

func hits(n uint64) string {
	if n == 1 {
		return "1 hit"
	}
	return fmt.Sprintf("%d hits", n)
}

// writeWays writes the ways from a node, and on from where they lead.
func writeWays(b *bytes.Buffer, g *Graph, edges []Edge, indent string, above map[string]bool) {
	for i, e := range edges {
		to := g.Node(e.To)
		if to == nil || above[e.To] {
			continue
		}
		branch, stem := "├─> ", "│   "
		if i == len(edges)-1 {
			branch, stem = "└─> ", "    "
		}
		if e.InUse {
			branch = map[string]string{"├─> ": "╠══> ", "└─> ": "╚══> "}[branch]
		} else {
			branch += " "
		}
		fmt.Fprintln(b, indent+branch+wayText(e, to))
		above[e.To] = true
		writeWays(b, g, g.From(e.To), indent+stem+" ", above)
		delete(above, e.To)
	}
}

// wayText is the node that a way leads to, with the way's label.
func wayText(e Edge, to *Node) string {
	text := to.Name
	if to.Kind == Balance || to.Kind == Table {
		text = string(to.Kind) + " " + to.Name
	}
	if e.Label != "" {
		text += "  " + e.Label
	}
	if to.Kind != Uplink && to.Kind != Nowhere && to.Detail != "" {
		text += "  (" + to.Detail + ")"
	}
	if e.Unusable && to.Why == "" {
		return text + "  not usable"
	}
	return withReason(text, *to)
}

func withReason(text string, n Node) string {
	text = strings.TrimSpace(text)
	if n.Unusable {
		return text + "  not usable: " + n.Why
	}
	return text
}
