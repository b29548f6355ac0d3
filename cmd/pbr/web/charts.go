//go:build !small

package web

import (
	"bytes"
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"pbr/healthcheck/history"
	"pbr/render/plot"
)

// Points of a chart, and of one in a line of text.
const (
	chartPoints = 360
	sparkPoints = 40
)

// Colours of series; the page's style sheet has others for dark screens.
const (
	first, second = "#0a5fb4", "#b4510a"
)

// chart is a plot with its heading.
type chart struct {
	Title string
	// Keys explain the series, by class.
	Keys []chartKey
	SVG  template.HTML
}

type chartKey struct{ Class, Name string }

// kinds of charts.
type chartKind struct {
	title   string
	metrics []history.Metric
	names   []string
	atLeast float64
	unit    func(float64) string
	// perVersion means that there is a series for each IP version.
	perVersion bool
}

func seconds(v float64) string {
	if v != 0 && v < 0.01 {
		return fmt.Sprintf("%.3g ms", 1000*v)
	}
	return fmt.Sprintf("%.0f ms", 1000*v)
}

var (
	rttChart    = chartKind{title: "Round trip", metrics: []history.Metric{history.RTT}, atLeast: 0.005, unit: seconds, perVersion: true}
	jitterChart = chartKind{title: "Jitter", metrics: []history.Metric{history.Jitter}, atLeast: 0.002, unit: seconds, perVersion: true}
	lossChart   = chartKind{title: "Loss", metrics: []history.Metric{history.Loss}, atLeast: 1, unit: percent, perVersion: true}
	flowChart   = chartKind{title: "Throughput", metrics: []history.Metric{history.In, history.Out},
		names: []string{"in", "out"}, atLeast: 10_000, unit: rate}
	chartKinds = []chartKind{rttChart, jitterChart, lossChart, flowChart}
)

// charted are the values of a chart of an uplink, as far as there are any.
func (k *chartKind) charted(h *history.History, l *Line, now time.Time, span history.Span,
	points int) (list []plot.Series, keys []chartKey) {
	add := func(version int, m history.Metric, name string) {
		values := h.Series(now, l.Name, version, m, span, points)
		if !slices.ContainsFunc(values, func(v float64) bool { return !math.IsNaN(v) }) {
			return // as of a version that follows the other one's check
		}
		class := fmt.Sprintf("series%d", len(list)+1)
		s := plot.Series{Class: class, Colour: first, Fill: len(list) == 0, Values: values}
		if len(list) > 0 {
			s.Colour = second
		}
		list, keys = append(list, s), append(keys, chartKey{class, name})
	}
	if !k.perVersion {
		// In bits, so that the axis has round numbers of them.
		defer func() {
			for _, s := range list {
				for i := range s.Values {
					s.Values[i] *= 8
				}
			}
		}()
		for i, m := range k.metrics {
			add(0, m, k.names[i])
		}
		return list, keys
	}
	for _, v := range l.Versions {
		add(v.Number, k.metrics[0], fmt.Sprintf("IPv%d", v.Number))
	}
	return list, keys
}

// draw draws a chart of an uplink. Failovers are marked.
func (k *chartKind) draw(h *history.History, l *Line, now time.Time, span history.Span, size [2]int, points int) chart {
	series, keys := k.charted(h, l, now, span, points)
	c := plot.Chart{Width: size[0], Height: size[1], From: now.Add(-span.Length()), To: now, AtLeast: k.atLeast,
		Unit: k.unit, Series: series, Bare: points == sparkPoints}
	for _, m := range h.Marks(l.Name) {
		if m.Failover() {
			class := "back"
			if !m.Usable {
				class = "out"
			}
			c.Events = append(c.Events,
				plot.Event{At: m.At, Class: class, Label: fmt.Sprintf("%s: %s, %s", clock(now, m.At), m.To, m.Reason)})
		}
	}
	c.Label = k.label(l, c, span, len(c.Events))
	var b bytes.Buffer
	_ = c.Picture().Write(&b) // a buffer takes everything
	return chart{Title: k.title, Keys: keys, SVG: template.HTML(b.String())}
}

// label tells in words what a chart shows.
func (k *chartKind) label(l *Line, c plot.Chart, span history.Span, failovers int) string {
	over := map[history.Span]string{history.Hour: "hour", history.Day: "day"}[span]
	text := fmt.Sprintf("%s of %s over the last %s", k.title, l.Name, over)
	last := math.NaN()
	if len(c.Series) > 0 {
		for _, v := range c.Series[0].Values {
			if !math.IsNaN(v) {
				last = v
			}
		}
	}
	if math.IsNaN(last) {
		return text + ": nothing measured yet"
	}
	text += fmt.Sprintf(": now %s, highest %s", k.unit(last), k.unit(c.Highest()))
	if failovers > 0 {
		text += ", " + count(failovers, "failover")
	}
	return text
}
