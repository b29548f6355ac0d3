package dataplane

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/template"
)

// plot is a picture of two panels side by side, both axes logarithmic.
type plot struct {
	Width, Height int
	Panels        []panel
	Keys          []key
}

// panel is a diagram of cost against the number of policies. All numbers are pixels from the picture's upper left corner.
type panel struct {
	Title                    string
	Left, Right, Top, Bottom float64
	X, Y                     []tick
	Lines                    []line
}

type tick struct {
	At    float64
	Label string
}

type line struct {
	Colour, Dash string
	Points       []point
}

type point struct{ X, Y float64 }

// key explains a colour.
type key struct {
	X, Y         float64
	Colour, Name string
}

// The series of the plot, and their colours (Okabe and Ito's, which colour-blind people can tell apart).
var plotted = []struct{ series, colour string }{
	{"pbr", "#0072b2"}, {"pbr, reverse-path nft", "#56b4e9"}, {"mwan3", "#009e73"}, {"RouterOS", "#cc79a7"}, {"OpenWrt pbr", "#d55e00"},
}

const (
	panelWidth, panelHeight = 330.0, 260.0
	marginLeft, marginTop   = 55.0, 40.0
)

// plot draws the established and the new streams, each the geometric mean of its kind in both families.
func (res *results) plot() plot {
	p := plot{Width: 860, Height: 390}
	top := 1.0
	for _, s := range plotted {
		for _, pt := range append(res.costs(s.series, false), res.costs(s.series, true)...) {
			top = max(top, pt.Y)
		}
	}
	for i, title := range []string{"a packet of an established connection", "a connection's first packet"} {
		p.Panels = append(p.Panels, res.panel(title, marginLeft+float64(i)*(panelWidth+90), i == 1, 1.1*top))
	}
	for i, s := range plotted {
		p.Keys = append(p.Keys, key{marginLeft + float64(i)*170, 370, s.colour, s.series})
	}
	return p
}

// costs returns a series' number of policies and cost as a multiple of base.
func (res *results) costs(series string, fresh bool) []point {
	var in []cell
	for _, c := range cells() {
		if c.fresh == fresh {
			in = append(in, c)
		}
	}
	var list []point
	for _, m := range res.series(series) {
		if q, ok := res.ratio(m, res.find(base), in); ok {
			list = append(list, point{float64(m.n), q.median})
		}
	}
	return list
}

// panel draws one of the diagrams; its vertical axis ends at top.
func (res *results) panel(title string, left float64, fresh bool, top float64) panel {
	p := panel{Title: title, Left: left, Right: left + panelWidth, Top: marginTop, Bottom: marginTop + panelHeight}
	policies, cost := [2]float64{10, 100_000}, [2]float64{0.8, top}
	x := func(v float64) float64 { return left + panelWidth*part(v, policies) }
	y := func(v float64) float64 { return p.Bottom - panelHeight*part(v, cost) }
	for n := 10; n <= 100_000; n *= 10 {
		p.X = append(p.X, tick{x(float64(n)), thousands(n)})
	}
	for ten := 1; float64(ten) < top; ten *= 10 {
		for _, n := range []int{ten, 2 * ten, 5 * ten} {
			if float64(n) <= top {
				p.Y = append(p.Y, tick{y(float64(n)), thousands(n)})
			}
		}
	}
	p.Lines = append(p.Lines, line{Colour: "#666666", Dash: "5 4", Points: []point{{p.Left, y(1)}, {p.Right, y(1)}}})
	for _, s := range plotted {
		l := line{Colour: s.colour}
		for _, pt := range res.costs(s.series, fresh) {
			l.Points = append(l.Points, point{x(pt.X), y(pt.Y)})
		}
		p.Lines = append(p.Lines, l)
	}
	return p
}

// series returns the rows of one, in the order of their sizes, the first of each size.
func (res *results) series(name string) []*measured {
	var list []*measured
	for _, m := range res.rows {
		if m.series == name && !slices.ContainsFunc(list, func(o *measured) bool { return o.n == m.n }) {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *measured) int { return a.n - b.n })
	return list
}

// part is where a value lies in a logarithmic range, 0 to 1.
func part(v float64, in [2]float64) float64 {
	return math.Log(v/in[0]) / math.Log(in[1]/in[0])
}

// thousands groups the digits of a number.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

var picture = template.Must(template.New("plot").Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{.Width}} {{.Height}}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
{{- range .Panels}}{{$p := .}}
<text x="{{.Left}}" y="22" font-size="14">{{.Title}}</text>
{{- range .X}}
<path d="M{{printf "%.1f" .At}} {{$p.Top}}V{{$p.Bottom}}" stroke="#dddddd"/>
<text x="{{printf "%.1f" .At}}" y="{{$p.Bottom}}" dy="16" text-anchor="middle">{{.Label}}</text>
{{- end}}
{{- range .Y}}
<path d="M{{$p.Left}} {{printf "%.1f" .At}}H{{$p.Right}}" stroke="#dddddd"/>
<text x="{{$p.Left}}" dx="-6" y="{{printf "%.1f" .At}}" dy="4" text-anchor="end">{{.Label}}</text>
{{- end}}
<text x="{{.Right}}" y="{{.Bottom}}" dy="34" text-anchor="end">policies; cost as a multiple of conntrack + masquerade</text>
{{- range .Lines}}{{$l := .}}
<polyline fill="none" stroke="{{.Colour}}" stroke-width="2"{{with .Dash}} stroke-dasharray="{{.}}"{{end}} points="{{range .Points}}{{printf "%.1f,%.1f " .X .Y}}{{end}}"/>
{{- if not .Dash}}{{range .Points}}
<circle cx="{{printf "%.1f" .X}}" cy="{{printf "%.1f" .Y}}" r="3.5" fill="{{$l.Colour}}"/>
{{- end}}{{end}}
{{- end}}
{{- end}}
{{- range .Keys}}
<path d="M{{.X}} {{.Y}}h24" stroke="{{.Colour}}" stroke-width="3"/>
<text x="{{.X}}" dx="30" y="{{.Y}}" dy="4">{{.Name}}</text>
{{- end}}
</svg>
`))

func (p plot) write(w io.Writer) error { return picture.Execute(w, p) }
