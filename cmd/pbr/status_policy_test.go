package main

import (
	"strings"
	"testing"

	"pbr/cmd/pbr/applied"
)

// During a trial the trial's file is in force, and not the one that was kept last.
func TestOtherFileText(t *testing.T) {
	now := &applied.InForce{Name: "kept.toml", Watch: "/etc/pbr/pbr.toml"}
	for _, c := range []struct {
		name  string
		trial bool
		want  string
	}{
		{"without a trial", false, "kept.toml is in force, because it was applied last"},
		{"during a trial", true, "tried.toml is in force on trial; without pbr confirm, kept.toml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if text := otherFileText(now, "tried.toml", c.trial); !strings.HasPrefix(text, c.want) || !strings.HasSuffix(text, now.Watch) {
				t.Errorf("trial %v: %s", c.trial, text)
			}
		})
	}
}
