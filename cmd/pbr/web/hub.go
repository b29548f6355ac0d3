//go:build !small

package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// livePause is between two looks while somebody watches.
	livePause = time.Second
	// snapshotAge is how old a snapshot may be that is shown again.
	snapshotAge = 300 * time.Millisecond
	// maxWatchers is how many pages are kept up to date at a time.
	maxWatchers = 24
	// watcherPatience is how long a page may take to read what it is sent.
	watcherPatience = 5 * time.Second
	// beat is how often a page hears that it is still connected.
	beat = 15 * time.Second
)

// parts are the parts of a view by their id. shape changes when parts come or go: then the page has
// to be loaded again.
type parts struct {
	shape string
	html  map[string]string
}

// hub looks once for all who watch, and only while somebody does.
type hub struct {
	ctx context.Context
	s   *Server

	looking sync.Mutex // one look at a time
	last    *Snapshot
	at      time.Time

	mu       sync.Mutex
	watchers map[*watcher]bool
	running  bool
}

// watcher is a page that is kept up to date.
type watcher struct {
	view string
	// news has the newest parts; older ones that were not taken are replaced.
	news chan parts
}

func newHub(ctx context.Context, s *Server) *hub {
	return &hub{ctx: ctx, s: s, watchers: map[*watcher]bool{}}
}

// snapshot is a fresh one, or that of a moment ago.
func (h *hub) snapshot(ctx context.Context) (*Snapshot, error) {
	h.looking.Lock()
	defer h.looking.Unlock()
	if h.last != nil && h.s.now().Sub(h.at) < snapshotAge {
		return h.last, nil
	}
	s, err := h.s.Source.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	h.last, h.at = s, h.s.now()
	return s, nil
}

// join adds a watcher; it returns nil when there are too many.
func (h *hub) join(view string) *watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) >= maxWatchers {
		return nil
	}
	w := &watcher{view: view, news: make(chan parts, 1)}
	h.watchers[w] = true
	if !h.running {
		h.running = true
		go h.run()
	}
	return w
}

func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
}

// run looks until nobody watches any more.
func (h *hub) run() {
	tick := time.NewTicker(livePause)
	defer tick.Stop()
	for {
		byView := h.byView()
		if byView == nil {
			return
		}
		h.look(byView)
		select {
		case <-tick.C:
		case <-h.ctx.Done():
			return
		}
	}
}

// byView gathers the watchers; nil when there are none, and run ends.
func (h *hub) byView() map[string][]*watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) == 0 {
		h.running = false
		return nil
	}
	out := map[string][]*watcher{}
	for w := range h.watchers {
		out[w.view] = append(out[w.view], w)
	}
	return out
}

// look makes the parts of each view once.
func (h *hub) look(byView map[string][]*watcher) {
	snapshot, err := h.snapshot(h.ctx)
	if err != nil {
		return
	}
	for view, watchers := range byView {
		p, ok := h.partsOf(view, snapshot)
		if !ok {
			continue
		}
		for _, w := range watchers {
			select {
			case <-w.news:
			default:
			}
			w.news <- p
		}
	}
}

// partsOf makes the parts of a view. A fault in it must not be the end of the watch.
func (h *hub) partsOf(view string, snapshot *Snapshot) (p parts, ok bool) {
	h.s.work <- struct{}{}
	defer func() {
		<-h.s.work
		if fault := recover(); fault != nil {
			h.s.Log.Error("web: a page cannot be kept up to date", "view", view, "error", fmt.Sprint(fault))
		}
	}()
	return h.s.partsOf(view, snapshot), true
}

// live keeps a page up to date (server-sent events).
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	watcher := s.hub.join(r.URL.Query().Get("view"))
	if watcher == nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many pages are kept up to date already", http.StatusServiceUnavailable)
		return
	}
	defer s.hub.leave(watcher)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx
	out := &stream{w: w, control: http.NewResponseController(w)}
	_ = out.control.SetReadDeadline(time.Time{})
	if out.send("retry: 2000\n\n") != nil {
		return
	}
	beats := time.NewTicker(beat)
	defer beats.Stop()
	sent := map[string]string{}
	shape, first := "", true
	for {
		select {
		case <-r.Context().Done():
			return
		case <-s.hub.ctx.Done():
			return
		case <-beats.C:
			if !s.stillMay(r) || out.send(": still here\n\n") != nil {
				return
			}
		case p := <-watcher.news:
			if !first && p.shape != shape {
				_ = out.send("event: shape\ndata: {}\n\n")
				return
			}
			if first {
				known(p.html, sent)
			}
			shape, first = p.shape, false
			if out.changed(p.html, sent) != nil {
				return
			}
		}
	}
}

// plotPart begins the ids of plots, which are large, and which a page that was just loaded has.
const plotPart = "plot-"

func known(now, sent map[string]string) {
	for id, html := range now {
		if strings.HasPrefix(id, plotPart) {
			sent[id] = html
		}
	}
}

// stillMay reports whether the login of a page that is kept up to date has not ended.
func (s *Server) stillMay(r *http.Request) bool {
	c, err := r.Cookie(cookieName)
	return s.Token == "" || err == nil && s.sessions.valid(c.Value, s.now())
}

// stream is a response that continues.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (o *stream) send(text string) error {
	_ = o.control.SetWriteDeadline(time.Now().Add(watcherPatience))
	if _, err := o.w.Write([]byte(text)); err != nil {
		return err
	}
	return o.control.Flush()
}

// changed sends the parts that are not what was sent before.
func (o *stream) changed(now, sent map[string]string) error {
	news := map[string]string{}
	for id, html := range now {
		if sent[id] != html {
			news[id], sent[id] = html, html
		}
	}
	if len(news) == 0 {
		return nil
	}
	b, err := json.Marshal(news)
	if err != nil {
		return err
	}
	return o.send(fmt.Sprintf("event: parts\ndata: %s\n\n", b))
}
