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
		trial bool
		want  string
	}{
		{false, "kept.toml is in force, because it was applied last"},
		{true, "tried.toml is in force on trial; without pbr confirm, kept.toml"},
	} {
		if text := otherFileText(now, "tried.toml", c.trial); !strings.HasPrefix(text, c.want) || !strings.HasSuffix(text, now.Watch) {
			t.Errorf("trial %v: %s", c.trial, text)
		}
	}
}
