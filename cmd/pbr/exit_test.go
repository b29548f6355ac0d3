package main

import (
	"errors"
	"strings"
	"testing"
)

// A broken policy has an exit status of its own where systemd asks, which starts other failures
// again. What is wrong is told once, whether it was told already or not.
func TestBrokenPolicyForManager(t *testing.T) {
	for _, c := range []struct {
		name   string
		socket string
		err    error
		code   int
		said   string
	}{
		{"by hand: it is told", "", errors.New("no uplink"), exitError, "pbr: no uplink"},
		{"by hand: it was told", "", exitCode(exitError), exitError, ""},
		{"under systemd: it is told", "/run/systemd/notify", errors.New("no uplink"), exitPolicy, "pbr: no uplink"},
		{"under systemd: it was told", "/run/systemd/notify", exitCode(exitError), exitPolicy, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("NOTIFY_SOCKET", c.socket)
			var stderr strings.Builder
			cmd := command{stderr: &stderr}
			code := cmd.exit(cmd.forManager(c.err))
			if said := strings.TrimSpace(stderr.String()); code != c.code || said != c.said {
				t.Errorf("%v with %q: exit status %d, %q; want %d, %q", c.err, c.socket, code, said, c.code, c.said)
			}
		})
	}
}
