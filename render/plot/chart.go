package plot

import (
	"math"
	"time"
)

// Chart is values against time.
type Chart struct {
	// Label says what it shows, for those who do not see it.
	Label         string
	Width, Height int
	From, To      time.Time
	// AtLeast is what the vertical axis reaches in any case.
	AtLeast float64
	// Unit writes a value at the vertical axis.
	Unit   func(float64) string
	Series []Series
	Events []Event
	// Bare omits axes and grid: what is left fits into a line of text.
	Bare bool
}

// Series are values at equal distances, the first at From and the last at To; what is not a
// number is not known.
type Series struct {
	Class, Colour string
	Fill          bool
	Values        []float64
}

// Event is something that happened.
type Event struct {
	At           time.Time
	Label, Class string
}

// Room for the axes, in pixels.
const (
	axisLeft, axisBottom = 64, 20
	axisTop, axisRight   = 8, 12
	most                 = 6
)

// Picture draws the chart.
func (c Chart) Picture() Picture {
	p := Panel{Left: axisLeft, Top: axisTop, Right: float64(c.Width - axisRight), Bottom: float64(c.Height - axisBottom)}
	if c.Bare {
		p = Panel{Left: 1, Top: 2, Right: float64(c.Width - 1), Bottom: float64(c.Height - 1)}
	}
	top := Ceil(max(c.Highest(), c.AtLeast))
	x := func(t time.Time) float64 {
		return p.Left + (p.Right-p.Left)*float64(t.Sub(c.From))/float64(c.To.Sub(c.From))
	}
	y := func(v float64) float64 { return p.Bottom - (p.Bottom-p.Top)*v/top }
	if !c.Bare {
		for _, t := range times(c.From, c.To, most) {
			p.X = append(p.X, Tick{x(t), t.Format("15:04")})
		}
		for _, v := range []float64{0, top / 2, top} {
			p.Y = append(p.Y, Tick{y(v), c.Unit(v)})
		}
	}
	for _, e := range c.Events {
		if !e.At.Before(c.From) && !e.At.After(c.To) {
			p.Marks = append(p.Marks, Mark{At: x(e.At), Label: e.Label, Class: e.Class})
		}
	}
	for _, s := range c.Series {
		l := Line{Colour: s.Colour, Class: s.Class, Fill: s.Fill && !c.Bare}
		for i, v := range s.Values {
			l.Points = append(l.Points, Point{p.Left + (p.Right-p.Left)*float64(i)/float64(max(len(s.Values)-1, 1)), y(v)})
		}
		p.Lines = append(p.Lines, l)
	}
	return Picture{Width: c.Width, Height: c.Height, Label: c.Label, Inline: true, Panels: []Panel{p}}
}

// Highest is the largest of all values, 0 if none is known.
func (c Chart) Highest() float64 {
	top := 0.0
	for _, s := range c.Series {
		for _, v := range s.Values {
			if !math.IsNaN(v) {
				top = max(top, v)
			}
		}
	}
	return top
}
