package graph

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// Dot writes the graph in Graphviz' language.
func Dot(w io.Writer, g *Graph) error {
	var b bytes.Buffer
	b.WriteString("digraph pbr {\n\trankdir=LR;\n" +
		"\tnode [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];\n\tedge [fontname=\"sans-serif\", fontsize=9];\n")
	for _, n := range g.Nodes {
		text := n.Name
		if n.Kind != Uplink && n.Kind != Rest && n.Kind != Nowhere {
			text = string(n.Kind) + " " + n.Name
		}
		if n.Detail != "" {
			text += "\n" + n.Detail
		}
		if n.Hits != nil {
			text += "\n" + hits(*n.Hits)
		}
		look := ""
		if n.Unusable {
			text += "\n" + n.Why
			look = ", color=gray60, fontcolor=gray40"
		}
		fmt.Fprintf(&b, "\t%s [label=%s%s];\n", strconv.Quote(n.ID), strconv.Quote(text), look)
	}
	for _, e := range g.Edges {
		look := "penwidth=1, color=gray50"
		switch {
		case e.InUse:
			look = "penwidth=3"
		case e.Unusable:
			look = "style=dashed, color=gray60"
		}
		fmt.Fprintf(&b, "\t%s -> %s [label=%s, %s];\n", strconv.Quote(e.From), strconv.Quote(e.To), strconv.Quote(e.Label), look)
	}
	b.WriteString("}\n")
	_, err := w.Write(b.Bytes())
	return err
}
