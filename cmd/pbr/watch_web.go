//go:build !small

package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"

	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/web"
	"pbr/compiler/policy"
)

// webServer serves the page where [watch] web says, beside the loop.
type webServer struct {
	source *webSource
	log    *slog.Logger
	// wanted has the newest setting that was not examined yet.
	wanted chan policy.Web

	now    policy.Web
	token  string
	server *web.Server
}

func newWebServer(source *webSource, log *slog.Logger) *webServer {
	return &webServer{source: source, log: log, wanted: make(chan policy.Web, 1)}
}

// listen asks for the page to be served somewhere from now on. It does not wait.
func (w *webServer) listen(to policy.Web) {
	select {
	case <-w.wanted:
	default:
	}
	w.wanted <- to
}

// run serves until ctx ends.
func (w *webServer) run(ctx context.Context) {
	for {
		select {
		case to := <-w.wanted:
			w.change(to)
		case <-ctx.Done():
			w.close()
			return
		}
	}
}

// change serves the page somewhere else. That it cannot be served is logged: a page is no reason
// to leave uplinks unwatched.
func (w *webServer) change(to policy.Web) {
	token, err := "", error(nil)
	if to.TokenFile != "" {
		token, err = web.ReadToken(to.TokenFile)
	}
	if err == nil && w.server != nil && w.now.Listen == to.Listen && token == w.token && slices.Equal(w.now.Hosts, to.Hosts) {
		return
	}
	w.close()
	w.now, w.token = to, token
	if to.Listen == "" {
		return
	}
	var l net.Listener
	if err == nil {
		l, err = webListener(to.Listen)
	}
	if err != nil {
		w.log.Error("the page is not served", "listen", to.Listen, "error", err)
		return // a reload tries again
	}
	w.server = web.New(web.Options{Source: w.source, Log: w.log, Token: token, Hosts: to.Hosts})
	go func(s *web.Server) {
		if err := s.Serve(daemon.Guarded(l, "web", w.log)); err != nil {
			w.log.Error("the page is not served", "listen", to.Listen, "error", err)
		}
	}(w.server)
	w.log.Info("the page is served", "listen", to.Listen)
}

func (w *webServer) close() {
	if w.server != nil {
		_ = w.server.Close()
		w.server = nil
	}
}

// webListener opens the page's address; a socket is root's alone.
func webListener(address string) (net.Listener, error) {
	l, err := metricsListener(address)
	if path, isSocket := strings.CutPrefix(address, "unix:"); isSocket && err == nil {
		if err = os.Chmod(path, 0o600); err != nil {
			_ = l.Close()
		}
	}
	return l, err
}
