package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pbr/compiler/sorting"
)

// Sizes of a picture, in pixels; widths of texts are those of a common font of 13 and 11 px.
const (
	boxWidth, columnGap = 190, 140
	boxGap, textHeight  = 12, 15
	nameChars           = 23
	detailChars         = 29
	// slot is what a way needs of the side of a box.
	slot = 17
	top  = 30
	// viaHeight is the room of ways that pass a column by.
	viaHeight = 14
	// labelChar is the width of a character of a label.
	labelChar = 7
)

// layout is a graph with the places of its parts.
type layout struct {
	width, height int
	columns       []*column
	lines         []line
}

type column struct {
	title string
	x     int
	boxes []*box
}

// box is a node in its place.
type box struct {
	node         Node
	x, y, height int
	texts        []string
	// title has what is clipped.
	title   string
	in, out int
	// via is set where a way passes by, and there is no box.
	via *Edge
}

// line is an edge in its place.
type line struct {
	edge           Edge
	x1, y1, x2, y2 int
	label          string
	labelAt        int
}

var titles = [...]string{"policies and rules", "balances", "tables", "uplinks"}

// columnOf is the column of a kind.
func columnOf(k Kind) int {
	switch {
	case k.selects():
		return 0
	case k == Balance:
		return 1
	case k == Table:
		return 2
	}
	return 3
}

// arrange puts nodes into columns, and ways between them so that none of their labels meet.
func arrange(g *Graph) *layout {
	l := &layout{}
	boxes, places := map[string]*box{}, map[string]int{}
	for i, title := range titles {
		c := &column{title: title}
		for _, n := range g.Nodes {
			if columnOf(n.Kind) == i {
				boxes[n.ID], places[n.ID] = newBox(n), len(l.columns)
				c.boxes = append(c.boxes, boxes[n.ID])
			}
		}
		if len(c.boxes) > 0 {
			l.columns = append(l.columns, c)
		}
	}
	edges := l.split(g.Edges, boxes, places)
	for _, e := range edges {
		boxes[e.From].out++
		boxes[e.To].in++
	}
	l.place(edges, boxes)
	l.draw(edges, boxes)
	return l
}

// split leads ways past the columns that they pass by, those alike as one, so that none lies behind
// a box that it has nothing to do with. A way within a column is omitted: the boxes tell of it.
func (l *layout) split(edges []Edge, boxes map[string]*box, places map[string]int) (out []Edge) {
	for _, e := range edges {
		if boxes[e.From] == nil || boxes[e.To] == nil || places[e.To] <= places[e.From] {
			continue
		}
		for at := places[e.From] + 1; at < places[e.To]; at++ {
			id := fmt.Sprintf("via/%d/%s/%s/%v/%v", at, e.To, e.Label, e.InUse, e.Unusable)
			step := Edge{From: e.From, To: id, InUse: e.InUse, Unusable: e.Unusable}
			if boxes[id] == nil {
				boxes[id] = &box{node: Node{ID: id}, via: &step}
				l.columns[at].boxes = append(l.columns[at].boxes, boxes[id])
			}
			out, e.From = append(out, step), id
		}
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

func newBox(n Node) *box {
	x := &box{node: n, texts: []string{clip(n.Name, nameChars)}}
	add := func(text string) {
		if text != "" {
			x.texts = append(x.texts, clip(text, detailChars))
		}
	}
	add(n.Detail)
	if n.Hits != nil {
		add(hits(*n.Hits))
	}
	add(n.Why)
	if title := strings.Join(slices.DeleteFunc([]string{n.Name, n.Detail, n.Why},
		func(s string) bool { return s == "" }), "\n"); title != strings.Join(x.texts, "\n") {
		x.title = title
	}
	return x
}

// place gives boxes their places: the first column keeps its order, the others follow those that
// lead to them.
func (l *layout) place(edges []Edge, boxes map[string]*box) {
	for i, c := range l.columns {
		c.x = 1 + i*(boxWidth+columnGap)
		if i > 0 {
			c.sort(edges, boxes)
		}
		y := top
		for _, x := range c.boxes {
			x.x, x.y = c.x, y
			x.height = max(12+len(x.texts)*textHeight, 8+slot*max(x.in, x.out))
			if x.via != nil {
				x.height = viaHeight
			}
			y += x.height + boxGap
		}
		l.height = max(l.height, y)
		l.width = c.x + boxWidth + 1
	}
	for _, c := range l.columns { // short columns stand in the middle
		used := top
		if n := len(c.boxes); n > 0 {
			used = c.boxes[n-1].y + c.boxes[n-1].height + boxGap
		}
		for _, x := range c.boxes {
			x.y += min((l.height-used)/2, 200)
		}
	}
}

// sort orders a column by the mean place of the boxes that lead to each.
func (c *column) sort(edges []Edge, boxes map[string]*box) {
	type mean struct{ sum, n int }
	means := map[string]mean{}
	for _, e := range edges {
		if from := boxes[e.From]; from.height > 0 {
			m := means[e.To]
			weight := 1
			if e.InUse {
				weight = 3
			}
			means[e.To] = mean{m.sum + weight*(from.y+from.height/2), m.n + weight}
		}
	}
	at := func(x *box) int {
		if m := means[x.node.ID]; m.n > 0 {
			return m.sum / m.n
		}
		return 1 << 30
	}
	sorting.Func(c.boxes, func(a, b *box) int { return cmp.Compare(at(a), at(b)) })
}

// draw lays the ways: at each box from top to bottom in the order of where they come from, or
// lead to.
func (l *layout) draw(edges []Edge, boxes map[string]*box) {
	outs, ins := map[string]int{}, map[string]int{}
	lines := make([]line, len(edges))
	order := make([]int, len(edges))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(boxes[edges[a].To].y, boxes[edges[b].To].y) })
	for _, i := range order {
		from := boxes[edges[i].From]
		lines[i] = line{edge: edges[i], x1: from.x + boxWidth, y1: port(from, outs[from.node.ID], from.out), label: edges[i].Label}
		outs[from.node.ID]++
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(lines[a].y1, lines[b].y1) })
	for _, i := range order {
		to := boxes[edges[i].To]
		lines[i].x2, lines[i].y2 = to.x, port(to, ins[to.node.ID], to.in)
		lines[i].label = clip(lines[i].label, 21)
		lines[i].labelAt = to.x - len([]rune(lines[i].label))*labelChar - 4
		ins[to.node.ID]++
	}
	for _, c := range l.columns {
		for _, x := range c.boxes {
			if x.via != nil {
				y := x.y + x.height/2
				lines = append(lines, line{edge: *x.via, x1: x.x, y1: y, x2: x.x + boxWidth, y2: y})
			}
		}
	}
	// What is in use lies above the rest.
	sorting.Func(lines, func(a, b line) int { return cmp.Compare(rank(a.edge), rank(b.edge)) })
	l.lines = lines
}

func rank(e Edge) int {
	if e.InUse {
		return 1
	}
	return 0
}

// port is the height of the i-th of n ways at the side of a box.
func port(x *box, i, n int) int {
	if x.via != nil {
		return x.y + x.height/2
	}
	return x.y + x.height*(2*i+1)/(2*n)
}
