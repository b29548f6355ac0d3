package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
)

// logHandler writes log lines as text or JSON, and can change over while it runs.
type logHandler struct {
	text, json slog.Handler
	asJSON     *atomic.Bool
}

func newLog(w io.Writer, format string) *logHandler {
	options := &slog.HandlerOptions{ReplaceAttr: inWords}
	if os.Getenv("JOURNAL_STREAM") != "" {
		options.ReplaceAttr = withoutTime
	}
	h := &logHandler{text: slog.NewTextHandler(w, options),
		json: slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: withUnit}), asJSON: &atomic.Bool{}}
	h.setFormat(format)
	return h
}

// withoutTime omits what the journal notes itself.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return inWords(groups, a)
}

// inWords writes a list of phrases as a sentence has it: "routes: 7 added, sets: 2 changed". Lists
// of names stay lists.
func inWords(_ []string, a slog.Attr) slog.Attr {
	list, ok := a.Value.Any().([]string)
	if ok && slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, " ") }) {
		a.Value = slog.StringValue(strings.Join(list, ", "))
	}
	return a
}

// withUnit names a duration, which is a bare number in JSON, after its unit, as status --json does.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Key += "_ns"
	}
	return a
}

func (h *logHandler) setFormat(format string) { h.asJSON.Store(format == "json") }

func (h *logHandler) current() slog.Handler {
	if h.asJSON.Load() {
		return h.json
	}
	return h.text
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.current().Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.current().Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.text.WithAttrs(attrs), h.json.WithAttrs(attrs), h.asJSON}
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.text.WithGroup(name), h.json.WithGroup(name), h.asJSON}
}
