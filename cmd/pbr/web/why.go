//go:build !small

package web

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"pbr/compiler/explain"
)

// field is a part of a question.
type field struct {
	Key, Label, Hint, Value string
	Choices                 []string
}

// questionFields are the parts of a question that the form always shows; the others are behind
// "more".
var questionFields = []field{
	{Key: "src", Label: "Source", Hint: "192.168.10.50"},
	{Key: "dst", Label: "Destination", Hint: "9.9.9.9 or a name"},
	{Key: "proto", Label: "Protocol", Choices: []string{"tcp", "udp", "ping", "icmp", "icmpv6", "esp", "gre", "sctp"}},
	{Key: "dport", Label: "Port", Hint: "443"},
	{Key: "in", Label: "Arrives on", Hint: "interface, or local"},
}

var moreFields = []field{
	{Key: "sport", Label: "Source port"}, {Key: "state", Label: "State", Choices: []string{"", "new", "established"}},
	{Key: "pinned", Label: "Pinned to uplink"},
	{Key: "mac", Label: "Source MAC"}, {Key: "uid", Label: "User (uid)"}, {Key: "dscp", Label: "DSCP"},
	{Key: "icmp-type", Label: "ICMP type"},
	{Key: "mark", Label: "Others' mark"}, {Key: "at", Label: "At", Hint: "2006-01-02 15:04"},
}

// whyView is the form with its answer.
type whyView struct {
	Fields, More []field
	Open         bool
	Story        *explain.Story
	Wrong        string
	// Command is what asks the same in a terminal.
	Command string
}

func newWhy(value func(key string) string) *whyView {
	v := &whyView{}
	for _, f := range questionFields {
		f.Value = value(f.Key)
		v.Fields = append(v.Fields, f)
	}
	shown := map[string]bool{}
	for _, f := range questionFields {
		shown[f.Key] = true
	}
	add := func(f field) {
		f.Value = value(f.Key)
		v.More, v.Open, shown[f.Key] = append(v.More, f), v.Open || f.Value != "", true
	}
	for _, f := range moreFields {
		add(f)
	}
	for _, key := range explain.Keys {
		if !shown[key] {
			add(field{Key: key, Label: key})
		}
	}
	return v
}

// why shows the form; what the address names is filled in, and asked only when it is sent.
func (s *Server) why(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, "why", page{Title: "Why", At: "why"}, func(*Snapshot) (any, int) { return newWhy(r.URL.Query().Get), http.StatusOK })
}

// maxField bounds what a field may hold.
const maxField = 200

// explain answers the form.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	v, t := newWhy(func(key string) string { return strings.TrimSpace(r.PostForm.Get(key)) }), &explain.Text{}
	command := []string{"pbr explain"}
	for _, key := range explain.Keys {
		value := strings.TrimSpace(r.PostForm.Get(key))
		if len(value) > maxField {
			http.Error(w, key+": too long", http.StatusBadRequest)
			return
		}
		if value != "" {
			t.Set(key, value)
			command = append(command, "--"+key+" "+quoted(value))
		}
	}
	v.Command = strings.Join(command, " ")
	ctx, done, ok := s.asked(w, r)
	if !ok {
		return
	}
	var err error
	if v.Story, err = s.Source.Explain(ctx, t); err != nil {
		v.Wrong = err.Error()
	}
	done()
	s.show(w, r, "why", page{Title: "Why", At: "why"}, func(*Snapshot) (any, int) { return v, http.StatusOK })
}

// quoted is a word for a shell.
func quoted(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_/@-") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// connectionsView are connections with what they were selected by.
type connectionsView struct {
	Filter
	*Connections
	Wrong            string
	Uplinks, Policys []string
}

func (s *Server) connections(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := &connectionsView{Filter: Filter{Uplink: q.Get("uplink"), Policy: q.Get("policy"), Text: strings.TrimSpace(q.Get("q"))}}
	if len(v.Uplink)+len(v.Policy)+len(v.Text) > 3*maxField {
		http.Error(w, "too long", http.StatusBadRequest)
		return
	}
	ctx, done, ok := s.asked(w, r)
	if !ok {
		return
	}
	var err error
	if v.Connections, err = s.Source.Connections(ctx, v.Filter); err != nil {
		v.Connections, v.Wrong = &Connections{}, err.Error()
	}
	done()
	s.show(w, r, "connections", page{Title: "Connections", At: "why"}, func(n *Snapshot) (any, int) {
		for i := range n.Lines {
			v.Uplinks = append(v.Uplinks, n.Lines[i].Name)
		}
		for i := range n.Selectors {
			if !n.Selectors[i].IsRule {
				v.Policys = append(v.Policys, n.Selectors[i].Name)
			}
		}
		return v, http.StatusOK
	})
}

// Ask is the address of the form with the connection filled in.
func (c *Connection) Ask() template.URL {
	var parts []string
	for _, key := range explain.Keys {
		if value := c.Question.Get(key); value != "" {
			parts = append(parts, template.URLQueryEscaper(key)+"="+template.URLQueryEscaper(value))
		}
	}
	return template.URL("/why?" + strings.Join(parts, "&"))
}

// traceTime is how long a trace from the page lasts.
const traceTime = 30 * time.Second

// traceView is the form of a trace, with what is wrong with it.
type traceView struct{ Host, Wrong string }

func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, "trace", page{Title: "Trace", At: "why"},
		func(*Snapshot) (any, int) { return traceView{Host: r.URL.Query().Get("host")}, http.StatusOK })
}

// startTrace traces a host. The page is written while it lasts, a row for each packet, so that it
// needs no script.
func (s *Server) startTrace(w http.ResponseWriter, r *http.Request) {
	host := strings.TrimSpace(r.PostFormValue("host"))
	if !isHost(host) {
		s.show(w, r, "trace", page{Title: "Trace", At: "why"}, func(*Snapshot) (any, int) {
			return traceView{host, "invalid address: write one as 192.168.10.50 or 2001:db8::50"}, http.StatusBadRequest
		})
		return
	}
	done, ok := turn(w, r, s.traces)
	if !ok {
		return
	}
	defer done()
	ctx, cancel := context.WithTimeout(r.Context(), traceTime+questionTime)
	defer cancel()
	snapshot, err := s.hub.snapshot(ctx)
	if err != nil {
		http.Error(w, "pbr watch cannot tell: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	p := page{Title: "Trace of " + host, At: "why", Snapshot: snapshot, Now: s.now(), Login: s.Token != "", Data: traceView{Host: host}}
	out := &stream{w: w, control: http.NewResponseController(w)}
	_ = out.control.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	if out.send(s.fragment("trace-head", p)) != nil {
		return
	}
	n := 0
	err = s.Source.Trace(ctx, host, func(found Traced) {
		n++
		p.Data = found
		if out.send(s.fragment("traced", p)) != nil {
			cancel() // nobody looks any more
		}
	})
	end := struct {
		N     int
		Wrong string
	}{N: n}
	if err != nil && !errors.Is(err, context.Canceled) {
		end.Wrong = err.Error()
	}
	p.Data = end
	_ = out.send(s.fragment("trace-end", p))
}

// isHost reports whether a text is an address or a network.
func isHost(text string) bool {
	if _, err := netip.ParsePrefix(text); err == nil {
		return true
	}
	a, err := netip.ParseAddr(text)
	return err == nil && a.Zone() == ""
}
