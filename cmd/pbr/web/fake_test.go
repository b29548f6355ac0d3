//go:build !small

package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/explain"
	"pbr/healthcheck"
	"pbr/healthcheck/history"
	"pbr/kernel/doctor"
	"pbr/render/graph"
)

// evil is a text that must never be markup.
const evil = `<script>alert("x")</script>'"&`

// fake is a source with a line that can be taken down.
type fake struct {
	mu       sync.Mutex
	state    string
	asked    []string
	snapshot func(*Snapshot)
	past     *history.History
	// slow lets traces last until they are ended.
	slow bool
}

func newFake() *fake {
	f := &fake{state: "up", past: history.New(time.Now().Add(-time.Hour))}
	now := time.Now()
	for i := range 100 {
		f.past.AddProbe(now.Add(time.Duration(i-100)*5*time.Second), "isp1", 4, history.Probe{RTT: 5 * time.Millisecond, Loss: .1})
	}
	f.past.AddMark(now, "isp1", history.Mark{At: now.Add(-time.Minute), Version: "both", From: "up", To: "down",
		Reason: evil, WasUsable: true})
	return f
}

func (f *fake) set(state string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = state
}

func (f *fake) Snapshot(context.Context) (*Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	up := f.state == "up"
	hits := uint64(3)
	n := &Snapshot{
		Policy: evil, Loaded: time.Now(), Since: time.Now(), Notes: []string{evil}, Together: evil,
		Trial: &Trial{Until: time.Now().Add(time.Minute), Failure: evil},
		Lines: []Line{{Name: "isp1", Interface: "wan1", State: f.state, Usable: up, Failed: !up, Versions: []Version{
			{Number: 4, State: f.state, Usable: up, Failed: !up, Since: time.Now(), Gateway: "192.0.2.1",
				Addresses: []string{"192.0.2.2"}, RTT: 5 * time.Millisecond, LastFailure: evil, LastFailureAt: time.Now()}},
			Quota: &daemon.QuotaStatus{Bytes: 50e9, Used: 1e9, Left: 49e9, Per: "month"}}},
		Ways: &graph.Graph{Nodes: []graph.Node{{ID: "uplink/isp1", Kind: graph.Uplink, Name: "isp1",
			Detail: evil, Why: evil, Unusable: true}}},
		Selectors: []Selector{{Name: "web", Line: 3, Target: "uplink isp1", Uses: "isp1", Hits: &hits, Problem: evil}},
	}
	if f.snapshot != nil {
		f.snapshot(n)
	}
	return n, nil
}

func (f *fake) History() *history.History { return f.past }

func (f *fake) Events() []daemon.PastEvent {
	return []daemon.PastEvent{{Time: time.Now(), Uplink: "isp1", Version: "4", From: healthcheck.Up, To: healthcheck.Down, Reason: evil}}
}

func (f *fake) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
}

func (f *fake) Explain(_ context.Context, t *explain.Text) (*explain.Story, error) {
	f.note("explain " + t.Get("src") + " " + t.Get("dst"))
	if t.Get("dst") == "" {
		return nil, errors.New("dst: missing " + evil)
	}
	return &explain.Story{Title: evil, Steps: []explain.Step{{What: "policy", Text: evil, Tone: explain.Good, More: []string{evil}}}}, nil
}

func (f *fake) Connections(context.Context, Filter) (*Connections, error) {
	f.note("connections")
	c := Connection{Proto: "tcp", Source: "10.0.0.1:1", Destination: evil, Policy: evil}
	c.Question.Set("src", evil)
	return &Connections{Total: 1, Read: 1, List: []Connection{c}}, nil
}

func (f *fake) Trace(ctx context.Context, host string, found func(Traced)) error {
	f.note("trace " + host)
	found(Traced{Proto: "tcp", Source: host, Destination: evil, By: evil})
	if f.slow {
		<-ctx.Done()
	}
	return nil
}

func (f *fake) Doctor(context.Context) ([]doctor.Finding, error) {
	f.note("doctor")
	return []doctor.Finding{{Group: "kernel", Level: doctor.Fail, Subject: evil, Text: evil, Do: evil}}, nil
}

func (f *fake) Difference(context.Context) (string, error) {
	f.note("diff")
	return "- " + evil + "\n+ x\n", nil
}

func server(t *testing.T, f *fake, change func(*Options)) *Server {
	t.Helper()
	o := Options{Source: f, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	s := New(o)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// ask sends a request to a server, changed.
func ask(s *Server, method, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:9810"+path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}
