//go:build !small

package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"pbr/healthcheck/history"
)

// maxCards is up to how many lines each has a card with its charts; more are rows of a table.
const maxCards = 12

// Sizes of charts in pixels; the page scales them.
var (
	cardSize  = [2]int{320, 104}
	pageSize  = [2]int{640, 180}
	sparkSize = [2]int{120, 24}
)

// lineView is a line as the page shows it.
type lineView struct {
	*Line
	ID     int
	Charts []chart
}

// linesView is the view of all lines.
type linesView struct {
	Lines  []lineView
	Cards  bool
	Usable int
}

func (s *Server) viewLines(n *Snapshot) *linesView {
	v := &linesView{Cards: len(n.Lines) <= maxCards}
	for i := range n.Lines {
		l := &n.Lines[i]
		if l.Usable {
			v.Usable++
		}
		v.Lines = append(v.Lines, lineView{Line: l, ID: i, Charts: s.chartsOf(l, v.Cards)})
	}
	return v
}

// chartsOf are those of a card, or of a row.
func (s *Server) chartsOf(l *Line, cards bool) (list []chart) {
	kinds, size, points := chartKinds, cardSize, chartPoints/2
	if !cards {
		kinds, size, points = []chartKind{rttChart, lossChart, flowChart}, sparkSize, sparkPoints
	}
	for i := range kinds {
		c := kinds[i].draw(s.Source.History(), l, s.plotTime(history.Hour), history.Hour, size, points)
		if cards && len(c.Keys) == 0 {
			continue // as of an uplink that is not checked
		}
		list = append(list, c)
	}
	return list
}

// plotTime is the end of charts: it moves by steps of their resolution, so that they do not
// change all the time.
func (s *Server) plotTime(span history.Span) time.Time {
	now := s.now()
	return now.Add(-(now.Sub(s.start) % span.Step())) // and not Truncate, which forgets the monotonic clock
}

// lines shows all lines.
func (s *Server) lines(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, "lines", page{Title: "Lines", At: "lines", Live: "lines"},
		func(n *Snapshot) (any, int) { return s.viewLines(n), http.StatusOK })
}

// spanCharts are the charts of a line over a span.
type spanCharts struct {
	Name, Title string
	Charts      []chart
}

// oneLine is the view of one line.
type oneLine struct {
	lineView
	Spans []spanCharts
	Marks []history.Mark
}

func (s *Server) viewLine(n *Snapshot, name string) *oneLine {
	for i := range n.Lines {
		if n.Lines[i].Name != name {
			continue
		}
		v := &oneLine{lineView: lineView{Line: &n.Lines[i], ID: i}, Marks: s.Source.History().Marks(name)}
		for _, over := range []struct {
			span  history.Span
			title string
		}{{history.Hour, "The last hour"}, {history.Day, "The last day"}} {
			c := spanCharts{Name: strings.ToLower(over.title[9:]), Title: over.title}
			for j := range chartKinds {
				c.Charts = append(c.Charts, chartKinds[j].draw(s.Source.History(), v.Line, s.plotTime(over.span),
					over.span, pageSize, chartPoints))
			}
			v.Spans = append(v.Spans, c)
		}
		return v
	}
	return nil
}

// line shows one line.
func (s *Server) line(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	s.show(w, r, "line", page{Title: name, At: "lines", Live: "line/" + name}, func(n *Snapshot) (any, int) {
		if v := s.viewLine(n, name); v != nil {
			return v, http.StatusOK
		}
		return nil, http.StatusNotFound
	})
}

// partsOf are the parts of a view that change.
func (s *Server) partsOf(view string, n *Snapshot) parts {
	p := parts{html: map[string]string{"news": s.fragment("news", n)}}
	data := page{Snapshot: n, Now: s.now()}
	put := func(id, template string, v any) {
		data.Data = v
		p.html[id] = s.fragment(template, data)
	}
	name, isLine := strings.CutPrefix(view, "line/")
	switch {
	case view == "lines":
		v := s.viewLines(n)
		p.shape = fmt.Sprint(v.Cards)
		put("summary", "summary", v)
		for i := range v.Lines {
			l := &v.Lines[i]
			p.shape += "/" + l.Name + fmt.Sprint(len(l.Versions))
			s.lineParts(put, l, v.Cards)
		}
	case isLine:
		v := s.viewLine(n, name)
		if v == nil {
			return parts{shape: "gone"}
		}
		put("state-0", "state", v)
		put("facts", "facts", v)
		put("marks", "marks", v)
		for _, over := range v.Spans {
			put(plotPart+over.Name, "plots", over.Charts)
		}
	case view == "ways":
		put("picture", "picture", s.picture(n))
		put("selectors", "selectors", n)
	case view == "events":
		put("list", "eventlist", s.pastEvents())
	case view == "changes":
		put("trial", "trial", n)
	}
	return p
}

// lineParts are those of a card, or of a row.
func (s *Server) lineParts(put func(id, template string, v any), l *lineView, cards bool) {
	put(fmt.Sprintf("state-%d", l.ID), "state", l)
	if cards {
		put(fmt.Sprintf("facts-%d", l.ID), "facts", l)
		put(fmt.Sprintf("%s%d", plotPart, l.ID), "plots", l.Charts)
		return
	}
	put(fmt.Sprintf("numbers-%d", l.ID), "numbers", l)
	for i := range l.Charts {
		put(fmt.Sprintf("%s%d-%d", plotPart, l.ID, i), "spark", l.Charts[i])
	}
}
