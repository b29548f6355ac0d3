package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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

// Who lacks a permission is told what gives it; root, who lacks a capability, is not told to become
// root.
func TestRootHint(t *testing.T) {
	dial := fmt.Errorf("asking pbr watch: dial unix /run/pbr/control: %w", unix.EACCES)
	for _, c := range []struct {
		name string
		err  error
		euid int
		said string
	}{
		{"a user", dial, 1000, dial.Error() + ": run this command as root (sudo)"},
		{"a user, by a netlink error", unix.EPERM, 1000, unix.EPERM.Error() + ": run this command as root (sudo)"},
		{"a user, with something that works", fmt.Errorf("diff: %w", &refused{unix.EPERM, "diff"}), 1000,
			"diff: " + unix.EPERM.Error() + ": run this command as root (sudo); without root: pbr compile --dry-run"},
		{"a user, whom nothing else helps", &refused{unix.EPERM, "flush"}, 1000, unix.EPERM.Error() + ": run this command as root (sudo)"},
		{"root", dial, 0, dial.Error()},
		{"another error", unix.ENOENT, 1000, unix.ENOENT.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if said := withRootHint(c.err, c.euid); said != c.said {
				t.Errorf("%q, want %q", said, c.said)
			}
		})
	}
}
