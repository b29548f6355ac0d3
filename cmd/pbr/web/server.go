//go:build !small

package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"
)

const (
	// maxBody bounds what a form may send, maxHeader a request's head, in bytes.
	maxBody, maxHeader = 8 << 10, 16 << 10
	// requestTime is how long a request may take to arrive and to be answered, idleTime how long
	// a client may wait with the next one.
	requestTime, idleTime = 10 * time.Second, 30 * time.Second
	// headTime is how long a request's head may take: this long a silent client holds its place.
	headTime = 3 * time.Second
	// questionTime is how long a question may take.
	questionTime = 20 * time.Second
	// workPatience is how long a request waits for its turn.
	workPatience = 3 * time.Second
	// Requests of all clients together: so many at once, and then one each interval.
	floodSize     = 200
	floodInterval = 10 * time.Millisecond
)

//go:embed templates static
var files embed.FS

// Options say what a server shows, and to whom.
type Options struct {
	Source Source
	Log    *slog.Logger
	// Token is what visitors have to give; empty if nothing.
	Token string
	// Hosts are the names of the page besides addresses and localhost.
	Hosts []string
	// Now is the clock.
	Now func() time.Time
}

// Server serves the page.
type Server struct {
	Options
	http      *http.Server
	templates *template.Template
	hub       *hub
	sessions  *sessions
	flood     *bucket
	// work has a place for each page that is being made: one less than there are processors, so
	// that the watch always finds one.
	work chan struct{}
	// questions has one for each question that is being answered.
	questions chan struct{}
	// traces has one for the trace that runs.
	traces   chan struct{}
	findings findings
	start    time.Time
	stop     context.CancelFunc
}

// New prepares a server.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{Options: o, sessions: newSessions(), flood: newBucket(floodSize, floodInterval), stop: stop,
		work: make(chan struct{}, max(1, runtime.NumCPU()-1)), questions: make(chan struct{}, 1), traces: make(chan struct{}, 1)}
	s.templates = template.Must(template.New("").Funcs(functions).ParseFS(files, "templates/*.html"))
	s.hub, s.start = newHub(ctx, s), o.Now()
	s.http = &http.Server{
		Handler: s.Handler(), ReadTimeout: requestTime, ReadHeaderTimeout: headTime, WriteTimeout: requestTime,
		IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog:    slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), // what clients do wrong is not news
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	return s
}

// Serve serves until Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends the server with all that it does.
func (s *Server) Close() error {
	s.stop()
	return s.http.Close()
}

func (s *Server) now() time.Time { return s.Now() }

// Handler is the whole page.
func (s *Server) Handler() http.Handler {
	inside := http.NewServeMux()
	for pattern, show := range map[string]http.HandlerFunc{
		"GET /{$}": s.lines, "GET /line/{name}": s.line, "GET /ways": s.ways, "GET /events": s.events,
		"GET /doctor": s.doctor, "GET /changes": s.changes,
		"GET /why": s.why, "GET /why/connections": s.connections, "GET /why/trace": s.trace,
		"POST /why": s.explain, "POST /why/trace": s.startTrace, "GET /live": s.live, "POST /logout": s.logout,
	} {
		inside.HandleFunc(pattern, show)
	}
	inside.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s.write(w, r, http.StatusNotFound, "nothing", page{Title: "Not found"})
	})
	all := http.NewServeMux()
	all.Handle("/", s.loggedIn(inside))
	all.HandleFunc("POST /login", s.login)
	all.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { s.showLogin(w, r, http.StatusOK, "") })
	static, _ := fs.Sub(files, "static")
	all.Handle("GET /static/", http.StripPrefix("/static/", unchanging(http.FileServerFS(static))))
	return s.guarded(all)
}

// unchanging lets browsers keep what is the same for as long as pbr runs.
func unchanging(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") || r.URL.Path == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "private, max-age=300")
		next.ServeHTTP(w, r)
	})
}

// page is what all templates get.
type page struct {
	Title string
	// At is the entry of the menu.
	At string
	// Live is the view that page.js keeps up to date; empty for none.
	Live     string
	Snapshot *Snapshot
	Login    bool
	Now      time.Time
	Data     any
}

// turn waits for a place to work at. The request is answered if there is none.
func turn(w http.ResponseWriter, r *http.Request, places chan struct{}) (done func(), ok bool) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	case <-time.After(workPatience):
	case <-r.Context().Done():
	}
	w.Header().Set("Retry-After", "2")
	http.Error(w, "busy: try again in a moment", http.StatusServiceUnavailable)
	return nil, false
}

// show writes a view of the present state.
func (s *Server) show(w http.ResponseWriter, r *http.Request, name string, p page, data func(*Snapshot) (any, int)) {
	done, ok := turn(w, r, s.work)
	if !ok {
		return
	}
	defer done()
	snapshot, err := s.hub.snapshot(r.Context())
	if err != nil {
		http.Error(w, "pbr watch cannot tell: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	status := http.StatusOK
	p.Snapshot = snapshot
	if data != nil {
		p.Data, status = data(snapshot)
	}
	s.write(w, r, status, name, p)
}

// write writes a page; one that cannot be made is an error, and not a part of a page.
func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	p.Now, p.Login = s.now(), s.Token != ""
	var b bytes.Buffer
	if err := s.templates.ExecuteTemplate(&b, name, p); err != nil {
		s.Log.Error("web: a page cannot be made", "page", r.URL.Path, "error", err)
		http.Error(w, "this page cannot be made: see the log of pbr watch", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// fragment makes a part of a page.
func (s *Server) fragment(name string, data any) string {
	var b bytes.Buffer
	if err := s.templates.ExecuteTemplate(&b, name, data); err != nil {
		s.Log.Error("web: a part of a page cannot be made", "part", name, "error", err)
		return ""
	}
	return b.String()
}
