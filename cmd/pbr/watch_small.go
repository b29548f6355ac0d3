//go:build small

package main

import (
	"context"
	"log/slog"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/policy"
	"pbr/healthcheck/history"
)

// metricsServer serves nothing: the policy file was refused that asks for it.
type metricsServer struct {
	report func() daemon.Report
	log    *slog.Logger
}

func (m *metricsServer) listen(string) {}
func (m *metricsServer) close()        {}

// webSource is what a terminal shows of a running watch; there is no page.
type webSource struct {
	watch    *daemon.Watcher
	policies *policies
	history  *history.History

	doc *policy.Document
}

func (w *webSource) setPolicy(*policy.Document) {}

// webServer serves nothing: the policy file was refused that asks for it.
type webServer struct{}

func newWebServer(*webSource, *slog.Logger) *webServer { return &webServer{} }

func (w *webServer) listen(policy.Web)       {}
func (w *webServer) run(ctx context.Context) {}
