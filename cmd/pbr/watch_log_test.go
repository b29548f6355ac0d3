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
		t.Run(format, func(t *testing.T) {
			var b bytes.Buffer
			slog.New(newLog(&b, format)).Info("done", "took", 1500*time.Microsecond)
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %s in %s", format, want, b.String())
			}
		})
	}
}

// What was changed is told in words; lists of names stay lists, and JSON has both as arrays.
func TestLogLists(t *testing.T) {
	for format, want := range map[string]string{
		"text": `changed="routes: 7 added, sets: 2 changed" uplinks=[isp1]`,
		"json": `"changed":["routes: 7 added","sets: 2 changed"],"uplinks":["isp1"]`,
	} {
		t.Run(format, func(t *testing.T) {
			for _, journal := range []string{"", "8:1"} {
				t.Setenv("JOURNAL_STREAM", journal)
				var b bytes.Buffer
				slog.New(newLog(&b, format)).Info("done", "changed", []string{"routes: 7 added", "sets: 2 changed"},
					"uplinks", []string{"isp1"})
				if !strings.Contains(b.String(), want) {
					t.Errorf("%s: no %s in %s", format, want, b.String())
				}
			}
		})
	}
}
