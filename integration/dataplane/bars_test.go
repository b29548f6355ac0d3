package dataplane

import "pbr/render/plot"

// barred are the rows of the bars, what they are called there, and their colours.
var barred = []struct{ row, name, colour string }{
	{"plain forwarding", "plain forwarding", "#999999"},
	{base, "conntrack + masquerade", "#666666"},
	{pbrSetUp{1000, 2, "nft"}.String(), "pbr, reverse-path nft", "#56b4e9"},
	{pbrSetUp{1000, 2, ""}.String(), "pbr", "#0072b2"},
	{"mwan3's way, 1,000 rules", "mwan3's way", "#009e73"},
	{"OpenWrt pbr's way, 1,000 policies", "OpenWrt pbr's way", "#d55e00"},
	{"RouterOS's way, 1,000 handlings", "RouterOS's way", "#cc79a7"},
}

const (
	barStep  = 22.0
	barNames = 165.0
	barRoom  = 200.0
)

// bars draws what packets cost with 1,000 policies, a bar for each way.
func (res *results) bars() plot.Picture {
	p := plot.Picture{Width: 860, Height: 70 + int(barStep)*len(barred)}
	for i, title := range []string{"a packet of an established connection", "a connection's first packet"} {
		left := barNames + float64(i)*(barNames+barRoom+60)
		panel := plot.Panel{Title: title, Note: "1,000 policies; cost as a multiple of conntrack + masquerade",
			Left: left, Right: left + barRoom + 50, Top: marginTop, Bottom: marginTop + barStep*float64(len(barred)) - 8}
		panel.Bars = res.panelBars(left, i == 1)
		p.Panels = append(p.Panels, panel)
	}
	return p
}

// panelBars are the bars of established streams, or of fresh ones; the longest fills the room.
func (res *results) panelBars(left float64, fresh bool) (bars []plot.Bar) {
	var in []cell
	for _, c := range cells() {
		if c.fresh == fresh {
			in = append(in, c)
		}
	}
	top := 1.0
	for i, b := range barred {
		q, ok := res.ratio(res.find(b.row), res.find(base), in)
		if !ok {
			continue
		}
		top = max(top, q.median)
		bars = append(bars, plot.Bar{Left: left, Y: marginTop + barStep*float64(i), Length: q.median, Colour: b.colour,
			Name: b.name, Value: digits(q.median)})
	}
	for i := range bars {
		bars[i].Length *= barRoom / top
	}
	return bars
}
