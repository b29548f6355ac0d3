package dataplane

import (
	"fmt"
	"slices"

	"pbr/render/plot"
)

// The series of the plot, and their colours (Okabe and Ito's, which colour-blind people can tell
// apart).
var plotted = []struct{ series, colour string }{
	{"pbr", "#0072b2"}, {"pbr, reverse-path nft", "#56b4e9"}, {"mwan3", "#009e73"}, {"RouterOS", "#cc79a7"}, {"OpenWrt pbr", "#d55e00"},
}

const (
	panelWidth, panelHeight = 330.0, 260.0
	marginLeft, marginTop   = 55.0, 40.0
)

// plot draws the established and the new streams, each the geometric mean of its kind in both
// families.
func (res *results) plot() plot.Picture {
	p := plot.Picture{Width: 860, Height: 390}
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
		p.Keys = append(p.Keys, plot.Key{X: marginLeft + float64(i)*170, Y: 370, Colour: s.colour, Name: s.series})
	}
	return p
}

// costs returns a series' number of policies and cost as a multiple of base.
func (res *results) costs(series string, fresh bool) []plot.Point {
	var in []cell
	for _, c := range cells() {
		if c.fresh == fresh {
			in = append(in, c)
		}
	}
	var list []plot.Point
	for _, m := range res.series(series) {
		if q, ok := res.ratio(m, res.find(base), in); ok {
			list = append(list, plot.Point{X: float64(m.n), Y: q.median})
		}
	}
	return list
}

// panel draws one of the diagrams; its vertical axis ends at top.
func (res *results) panel(title string, left float64, fresh bool, top float64) plot.Panel {
	p := plot.Panel{Title: title, Note: "policies; cost as a multiple of conntrack + masquerade", Left: left,
		Right: left + panelWidth, Top: marginTop, Bottom: marginTop + panelHeight}
	policies, cost := [2]float64{10, 100_000}, [2]float64{0.8, top}
	x := func(v float64) float64 { return left + panelWidth*plot.Log(v, policies) }
	y := func(v float64) float64 { return p.Bottom - panelHeight*plot.Log(v, cost) }
	for n := 10; n <= 100_000; n *= 10 {
		p.X = append(p.X, plot.Tick{At: x(float64(n)), Label: thousands(n)})
	}
	for ten := 1; float64(ten) < top; ten *= 10 {
		for _, n := range []int{ten, 2 * ten, 5 * ten} {
			if float64(n) <= top {
				p.Y = append(p.Y, plot.Tick{At: y(float64(n)), Label: thousands(n)})
			}
		}
	}
	p.Lines = append(p.Lines, plot.Line{Colour: "#666666", Dash: "5 4", Points: []plot.Point{{X: p.Left, Y: y(1)}, {X: p.Right, Y: y(1)}}})
	for _, s := range plotted {
		l := plot.Line{Colour: s.colour, Dots: true}
		for _, pt := range res.costs(s.series, fresh) {
			l.Points = append(l.Points, plot.Point{X: x(pt.X), Y: y(pt.Y)})
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

// thousands groups the digits of a number.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
