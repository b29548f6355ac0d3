package graph

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"unicode/utf8"
)

// Style says how a picture is drawn.
type Style struct {
	// Standalone puts colours into the picture, for light and dark screens; without them the page
	// around it has to colour its classes.
	Standalone bool
	// Link is where a node leads to when it is clicked; nil or empty for nowhere.
	Link func(Node) string
}

// colours are those of a picture that stands alone.
const colours = `<style>
svg.ways{background:#fff;color:#1b1f24;font:13px system-ui,sans-serif}
.ways .box{fill:#f4f6f8;stroke:#5b6672}.ways .name{font-weight:600;fill:currentColor}.ways .detail,.ways .label{font-size:11px;fill:#4a545e}
.ways .label{paint-order:stroke;stroke:#fff;stroke-width:3px}.ways .head{font-size:12px;fill:#4a545e}
.ways path{fill:none;stroke:#8a949e;stroke-width:1.2}.ways path.use{stroke:#0a5fb4;stroke-width:3}
.ways path.off{stroke:#8a949e;stroke-dasharray:4 4}.ways .off .box{fill:#ececec;stroke:#8a949e;stroke-dasharray:4 3}
.ways .off .name,.ways .off .detail{fill:#5c6670}
@media (prefers-color-scheme:dark){svg.ways{background:#14181d;color:#e8ebee}.ways .box{fill:#222931;stroke:#8b98a5}
.ways .detail,.ways .label,.ways .head{fill:#aab4be}
.ways .label{stroke:#14181d}.ways path{stroke:#6d7883}.ways path.use{stroke:#5db0ff}.ways .off .box{fill:#1b2026;stroke:#6d7883}
.ways .off .name,.ways .off .detail{fill:#98a3ae}}
</style>
`

// SVG writes the graph as a picture.
func SVG(w io.Writer, g *Graph, s Style) error {
	l := arrange(Folded(g))
	role := "img"
	if s.Link != nil {
		role = "group" // an image has nothing in it to click
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="ways" viewBox="0 0 %d %d" width="%d" `+
		`height="%d" role="%s" aria-label="%s">`+"\n",
		l.width, l.height, l.width, l.height, role, html.EscapeString(describe(g)))
	if s.Standalone {
		b.WriteString(colours)
	}
	for _, c := range l.columns {
		if len(c.boxes) > 0 {
			fmt.Fprintf(&b, `<text class="head" x="%d" y="16">%s</text>`+"\n", c.x, c.title)
		}
	}
	for _, line := range l.lines {
		line.write(&b)
	}
	for _, line := range l.lines {
		if line.label != "" {
			fmt.Fprintf(&b, `<text class="label" x="%d" y="%d">%s</text>`+"\n", line.labelAt, line.y2-4, html.EscapeString(line.label))
		}
	}
	for _, c := range l.columns {
		for _, box := range c.boxes {
			if box.via == nil {
				box.write(&b, s.Link)
			}
		}
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// describe is the picture in a sentence, for those who do not see it.
func describe(g *Graph) string {
	count := map[Kind]int{}
	off := 0
	for _, n := range g.Nodes {
		count[n.Kind]++
		if n.Kind == Uplink && n.Unusable {
			off++
		}
	}
	return fmt.Sprintf("Paths of connections: %d policies and %d rules lead to %d balances and %d tables, "+
		"and these to %d uplinks, %d of them unusable.",
		count[Policy], count[Rule], count[Balance], count[Table], count[Uplink], off)
}

func (l *line) write(b *bytes.Buffer) {
	class := ""
	switch {
	case l.edge.InUse:
		class = ` class="use"`
	case l.edge.Unusable:
		class = ` class="off"`
	}
	bend := (l.x2 - l.x1) / 2
	if l.label != "" {
		bend = (l.labelAt - l.x1) / 2
		fmt.Fprintf(b, `<path%s d="M%d %dC%d %d %d %d %d %dH%d"/>`, class, l.x1, l.y1, l.x1+bend, l.y1, l.labelAt-bend,
			l.y2, l.labelAt, l.y2, l.x2)
		b.WriteByte('\n')
		return
	}
	fmt.Fprintf(b, `<path%s d="M%d %dC%d %d %d %d %d %d"/>`+"\n", class, l.x1, l.y1, l.x1+bend, l.y1, l.x2-bend, l.y2, l.x2, l.y2)
}

func (x *box) write(b *bytes.Buffer, link func(Node) string) {
	class, href := string(x.node.Kind), ""
	if x.node.Unusable {
		class += " off"
	}
	if link != nil {
		href = link(x.node)
	}
	if href != "" {
		fmt.Fprintf(b, `<a href="%s">`, html.EscapeString(href))
	}
	fmt.Fprintf(b, `<g class="%s">`, class)
	if x.title != "" {
		fmt.Fprintf(b, "<title>%s</title>", html.EscapeString(x.title))
	}
	fmt.Fprintf(b, `<rect class="box" x="%d" y="%d" width="%d" height="%d" rx="6"/>`, x.x, x.y, boxWidth, x.height)
	for i, text := range x.texts {
		class := "detail"
		if i == 0 {
			class = "name"
		}
		fmt.Fprintf(b, `<text class="%s" x="%d" y="%d">%s</text>`, class, x.x+10, x.y+19+i*textHeight, html.EscapeString(text))
	}
	b.WriteString("</g>")
	if href != "" {
		b.WriteString("</a>")
	}
	b.WriteByte('\n')
}

// clip shortens a text to a number of characters.
func clip(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}
