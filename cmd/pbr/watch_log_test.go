package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A duration has its unit in both formats.
func TestLogDurations(t *testing.T) {
	for format, want := range map[string]string{"text": "took=1.5ms", "json": `"took_ns":1500000`} {
		var b bytes.Buffer
		slog.New(newLog(&b, format)).Info("done", "took", 1500*time.Microsecond)
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s: no %s in %s", format, want, b.String())
		}
	}
}
