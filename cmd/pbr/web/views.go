//go:build !small

package web

import (
	"bytes"
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/kernel/doctor"
	"pbr/render/graph"
)

// picture draws the ways; uplinks lead to their lines.
func (s *Server) picture(n *Snapshot) template.HTML {
	if n.Ways == nil {
		return ""
	}
	var b bytes.Buffer
	_ = graph.SVG(&b, n.Ways, graph.Style{Link: func(node graph.Node) string { // a buffer takes everything
		if node.Kind == graph.Uplink && !node.Several() {
			return "/line/" + url.PathEscape(node.Name)
		}
		return ""
	}})
	return template.HTML(b.String())
}

// ways shows the policy as a picture, and its policies and rules as a table.
func (s *Server) ways(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, "ways", page{Title: "Ways", At: "ways", Live: "ways"}, func(n *Snapshot) (any, int) { return s.picture(n), http.StatusOK })
}

// pastEvents are the newest first.
func (s *Server) pastEvents() []daemon.PastEvent {
	list := slices.Clone(s.Source.Events())
	slices.Reverse(list)
	return list
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, "events", page{Title: "Events", At: "events", Live: "events"},
		func(*Snapshot) (any, int) { return s.pastEvents(), http.StatusOK })
}

// findingsAge is how long doctor's findings are shown again: it asks gateways, and tries what the
// kernel can do.
const findingsAge = 20 * time.Second

// findings are doctor's last ones.
type findings struct {
	mu   sync.Mutex
	list []doctor.Finding
	err  error
	at   time.Time
}

// doctorView is what doctor found.
type doctorView struct {
	Groups []findingGroup
	Fails  int
	Warns  int
	Wrong  string
	At     time.Time
}

type findingGroup struct {
	Name     string
	Findings []doctor.Finding
}

// findingsNow asks doctor, unless it was asked just now.
func (s *Server) findingsNow(ctx context.Context) *doctorView {
	f := &s.findings
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.IsZero() || s.now().Sub(f.at) > findingsAge || f.err != nil {
		ctx, cancel := context.WithTimeout(ctx, questionTime)
		defer cancel()
		f.list, f.err = s.Source.Doctor(ctx)
		f.at = s.now()
	}
	v := &doctorView{At: f.at}
	if f.err != nil {
		v.Wrong = f.err.Error()
	}
	for _, name := range doctor.Groups {
		g := findingGroup{Name: name}
		for _, found := range f.list {
			if found.Group != name {
				continue
			}
			g.Findings = append(g.Findings, found)
			switch found.Level {
			case doctor.Fail:
				v.Fails++
			case doctor.Warn:
				v.Warns++
			}
		}
		if len(g.Findings) > 0 {
			v.Groups = append(v.Groups, g)
		}
	}
	return v
}

// asked gives a question its turn, and the time to answer it in.
func (s *Server) asked(w http.ResponseWriter, r *http.Request) (ctx context.Context, done func(), ok bool) {
	free, ok := turn(w, r, s.questions)
	if !ok {
		return nil, nil, false
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(questionTime + requestTime))
	ctx, cancel := context.WithTimeout(r.Context(), questionTime)
	return ctx, func() { cancel(); free() }, true
}

func (s *Server) doctor(w http.ResponseWriter, r *http.Request) {
	ctx, done, ok := s.asked(w, r)
	if !ok {
		return
	}
	found := s.findingsNow(ctx)
	done()
	s.show(w, r, "doctor", page{Title: "Doctor", At: "doctor"}, func(*Snapshot) (any, int) { return found, http.StatusOK })
}

// changesView is what is not in force as it is written.
type changesView struct {
	Lines []diffLine
	Wrong string
}

// diffLine is a line of a difference.
type diffLine struct{ Class, Text string }

// maxDiff bounds the lines that are shown.
const maxDiff = 2000

// changes shows what the kernel, or the policy file, has otherwise than what is in force, and the
// apply that waits.
func (s *Server) changes(w http.ResponseWriter, r *http.Request) {
	ctx, done, ok := s.asked(w, r)
	if !ok {
		return
	}
	text, err := s.Source.Difference(ctx)
	done()
	v := &changesView{}
	if err != nil {
		v.Wrong = err.Error()
	}
	for line := range strings.Lines(text) {
		if len(v.Lines) == maxDiff {
			v.Lines = append(v.Lines, diffLine{"", "... and more: pbr diff shows everything"})
			break
		}
		v.Lines = append(v.Lines, diffLine{diffClass(line), strings.TrimRight(line, "\n")})
	}
	s.show(w, r, "changes", page{Title: "Changes", At: "changes", Live: "changes"}, func(*Snapshot) (any, int) { return v, http.StatusOK })
}

func diffClass(line string) string {
	switch {
	case strings.HasPrefix(line, "+"):
		return "add"
	case strings.HasPrefix(line, "-"):
		return "del"
	}
	return ""
}
