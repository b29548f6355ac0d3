// Package plot draws plots as SVG, for docs and pages, and as characters for terminals. It is pure.
//
//	plot.Chart{...}.Picture().Write(w)   // values against time
//	plot.Spark(values, top)              // ▁▂▃▅▇
//
// What is drawn carries colours as presentation attributes, and classes, so that it stands alone
// and a page's style sheet can still have its way.
package plot

import (
	"bytes"
	"html"
	"io"
	"math"
	"strconv"
)

// Picture is some diagrams and what explains their colours. All numbers are pixels from the upper
// left corner.
type Picture struct {
	Width, Height int
	// Label says what it shows, for those who do not see it; empty in docs, where the text around
	// does.
	Label string
	// Inline leaves the background to the page.
	Inline bool
	Panels []Panel
	Keys   []Key
}

// Panel is a diagram.
type Panel struct {
	// Title is above, Note below the diagram.
	Title, Note              string
	Left, Right, Top, Bottom float64
	X, Y                     []Tick
	Lines                    []Line
	Bars                     []Bar
	Marks                    []Mark
}

// Bar is a value as a length to the right, from Left at Y, with what it stands for before it and
// its value behind it.
type Bar struct {
	Left, Y, Length     float64
	Colour, Name, Value string
}

// Tick is a labelled place on an axis.
type Tick struct {
	At    float64
	Label string
}

// Line joins points, each of which has a dot if Dots is set. A point that is not a number is a gap.
type Line struct {
	Colour, Dash, Class string
	Dots, Fill          bool
	Points              []Point
}

// Point is a place.
type Point struct{ X, Y float64 }

// Mark is a moment.
type Mark struct {
	At           float64
	Label, Class string
}

// Key explains a colour.
type Key struct {
	X, Y         float64
	Colour, Name string
	Class        string
}

// Write writes the picture as SVG.
func (p Picture) Write(w io.Writer) error {
	d := &drawing{}
	d.text(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 `).number(p.Width).text(" ").number(p.Height).text(
		`" font-family="sans-serif" font-size="12"`)
	if p.Inline {
		d.text(` class="plot"`)
	}
	if p.Label != "" {
		d.text(` role="img" aria-label="`).escaped(p.Label).text(`"`)
	}
	d.text(">\n")
	if !p.Inline {
		d.text(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	}
	for i := range p.Panels {
		d.panel(&p.Panels[i])
	}
	for i := range p.Keys {
		d.key(&p.Keys[i])
	}
	d.text("</svg>\n")
	_, err := w.Write(d.Bytes())
	return err
}

// drawing is a picture that is being written.
type drawing struct{ bytes.Buffer }

func (d *drawing) text(s string) *drawing {
	d.WriteString(s)
	return d
}

func (d *drawing) escaped(s string) *drawing { return d.text(html.EscapeString(s)) }

func (d *drawing) number(n int) *drawing { return d.text(strconv.Itoa(n)) }

// at writes a coordinate, as short as it can be.
func (d *drawing) at(v float64) *drawing {
	tenths := int64(math.Round(10 * v))
	if tenths < 0 {
		d.WriteByte('-')
		tenths = -tenths
	}
	d.Write(strconv.AppendInt(d.AvailableBuffer(), tenths/10, 10))
	if tenths %= 10; tenths != 0 {
		d.WriteByte('.')
		d.WriteByte(byte('0' + tenths))
	}
	return d
}

// class writes the attribute, unless it is empty.
func (d *drawing) class(name string) *drawing {
	if name == "" {
		return d
	}
	return d.text(` class="`).escaped(name).text(`"`)
}

func (d *drawing) panel(p *Panel) {
	if p.Title != "" {
		d.text(`<text x="`).at(p.Left).text(`" y="22" font-size="14">`).escaped(p.Title).text("</text>\n")
	}
	for _, t := range p.X {
		d.text(`<path class="grid" d="M`).at(t.At).text(" ").at(p.Top).text("V").at(p.Bottom).text(`" stroke="#dddddd"/>` + "\n")
		d.text(`<text x="`).at(t.At).text(`" y="`).at(p.Bottom).text(`" dy="16" text-anchor="middle">`).escaped(t.Label).text("</text>\n")
	}
	for _, t := range p.Y {
		d.text(`<path class="grid" d="M`).at(p.Left).text(" ").at(t.At).text("H").at(p.Right).text(`" stroke="#dddddd"/>` + "\n")
		d.text(`<text x="`).at(p.Left).text(`" dx="-6" y="`).at(t.At).text(`" dy="4" text-anchor="end">`).escaped(t.Label).text("</text>\n")
	}
	if p.Note != "" {
		d.text(`<text x="`).at(p.Right).text(`" y="`).at(p.Bottom).text(`" dy="34" text-anchor="end">`).escaped(p.Note).text("</text>\n")
	}
	for i := range p.Marks {
		m := &p.Marks[i]
		d.text(`<path d="M`).at(m.At).text(" ").at(p.Top).text("V").at(p.Bottom).text(`"`).class("mark " + m.Class)
		d.text(` stroke="#b00020" stroke-dasharray="2 2"><title>`).escaped(m.Label).text("</title></path>\n")
	}
	for i := range p.Bars {
		d.bar(&p.Bars[i])
	}
	for i := range p.Lines {
		d.line(&p.Lines[i], p.Bottom)
	}
}

func (d *drawing) bar(b *Bar) {
	d.text(`<path d="M`).at(b.Left).text(" ").at(b.Y).text("h").at(b.Length).text(`" stroke="`).text(b.Colour).text(
		`" stroke-width="14"/>` + "\n")
	d.text(`<text x="`).at(b.Left).text(`" dx="-6" y="`).at(b.Y).text(`" dy="4" text-anchor="end">`).escaped(b.Name).text("</text>\n")
	d.text(`<text x="`).at(b.Left + b.Length).text(`" dx="5" y="`).at(b.Y).text(`" dy="4">`).escaped(b.Value).text("</text>\n")
}

// line draws a line, each stretch between gaps on its own, with the area below it if Fill is set.
func (d *drawing) line(l *Line, bottom float64) {
	for _, stretch := range stretches(l.Points) {
		if l.Fill {
			d.text(`<path stroke="none" fill="`).text(l.Colour).text(`" fill-opacity=".15"`).class("area " +
				l.Class).text(` d="M`).at(stretch[0].X).text(" ").at(bottom)
			for _, p := range stretch {
				d.text("L").at(p.X).text(" ").at(p.Y)
			}
			d.text("V").at(bottom).text(`Z"/>` + "\n")
		}
		if len(stretch) == 1 && !l.Dots {
			d.text(`<circle cx="`).at(stretch[0].X).text(`" cy="`).at(stretch[0].Y).text(`" r="1" fill="`).text(
				l.Colour).text(`"`).class("dot " + l.Class).text("/>\n")
			continue
		}
		d.text(`<polyline fill="none" stroke="`).text(l.Colour).text(`" stroke-width="2"`).class(l.Class)
		if l.Dash != "" {
			d.text(` stroke-dasharray="`).text(l.Dash).text(`"`)
		}
		d.text(` points="`)
		for _, p := range stretch {
			d.at(p.X).text(",").at(p.Y).text(" ")
		}
		d.text(`"/>` + "\n")
		for _, p := range stretch {
			if l.Dots {
				d.text(`<circle cx="`).at(p.X).text(`" cy="`).at(p.Y).text(`" r="3.5" fill="`).text(l.Colour).text(`"/>` + "\n")
			}
		}
	}
}

// stretches are the points between gaps.
func stretches(points []Point) (list [][]Point) {
	begin := 0
	for i := 0; i <= len(points); i++ {
		if i == len(points) || math.IsNaN(points[i].Y) || math.IsInf(points[i].Y, 0) {
			if i > begin {
				list = append(list, points[begin:i])
			}
			begin = i + 1
		}
	}
	return list
}

func (d *drawing) key(k *Key) {
	d.text(`<path d="M`).at(k.X).text(" ").at(k.Y).text(`h24" stroke="`).text(k.Colour).text(
		`" stroke-width="3"`).class(k.Class).text("/>\n")
	d.text(`<text x="`).at(k.X).text(`" dx="30" y="`).at(k.Y).text(`" dy="4">`).escaped(k.Name).text("</text>\n")
}
