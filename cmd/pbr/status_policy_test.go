package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/cmd/pbr/applied"
	"pbr/compiler/policy"
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

// A rejected file that is tried again is in force on trial, and rejected again when that ends.
func TestRejectedFileOnTrialAgain(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	file := filepath.Join(t.TempDir(), "pbr.toml")
	if err := os.WriteFile(file, []byte("[settings]\nmark-mask = 0xff000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, _, _, err := applied.Read(file, file, policy.Options{ErrorsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	s := applied.Open(t.TempDir())
	done := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rejected := func(waits bool) bool {
		var p policyStatus
		p.findRejected(file, s, s.InForce(), s.Now(waits))
		return p.Rejected != nil && len(p.notes) == 1
	}
	done(s.Reject(text))
	if !rejected(false) {
		t.Error("not rejected after its trial")
	}
	done(s.BeginTrial(text))
	if rejected(true) {
		t.Error("rejected while it is on trial")
	}
	done(s.EndTrial())
	if !rejected(false) {
		t.Error("not rejected after its second trial")
	}
}
