//go:build !small

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"pbr/cmd/pbr/daemon"
)

const (
	// metricsTimeout bounds a scrape, and how long a client may wait with the next.
	metricsTimeout = 10 * time.Second
	// metricsHeader bounds what a client may send, in bytes.
	metricsHeader = 16 << 10
)

// metricsServer serves /metrics where [watch] metrics says.
type metricsServer struct {
	report func() daemon.Report
	log    *slog.Logger

	address string
	server  *http.Server
}

// listen serves on an address from now on, and on the former one no more; "" is none. That it
// cannot is logged: metrics are no reason to leave uplinks unwatched.
func (m *metricsServer) listen(address string) {
	if address == m.address {
		return
	}
	m.close()
	m.address = address
	if address == "" {
		return
	}
	l, err := metricsListener(address)
	if err != nil {
		m.log.Error("metrics are not served", "listen", address, "error", err)
		m.address = "" // a reload tries again
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", daemon.MetricsType)
		r := m.report()
		r.Use = readUse(&r)
		_, _ = w.Write(daemon.Metrics(r))
	})
	m.server = &http.Server{
		Handler: mux, ReadTimeout: metricsTimeout, WriteTimeout: metricsTimeout, IdleTimeout: metricsTimeout, MaxHeaderBytes: metricsHeader,
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
	}
	l = daemon.Guarded(l, "metrics", m.log)
	go func(s *http.Server) {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("metrics are not served", "listen", address, "error", err)
		}
	}(m.server)
}

func (m *metricsServer) close() {
	if m.server != nil {
		_ = m.server.Close()
		m.server = nil
	}
}

// metricsListener opens "ADDRESS:PORT" or "unix:PATH"; it replaces a socket that nobody listens on
// any more.
func metricsListener(address string) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		return net.Listen("tcp", address)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		conn, err := net.Dial("unix", path)
		if err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("%s is in use", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", path)
}
