package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"pbr/cmd/pbr/daemon"
)

// hookWords bounds what is kept of what a hook prints.
const hookWords = 500

// setHook makes a command the hook; "" is none. That it cannot be run is said at once rather than
// at the first failure of an uplink, but it is no reason to leave uplinks unwatched, and it may be
// repaired without a reload.
func setHook(hooks *daemon.Hooks, path string, log *slog.Logger) {
	hooks.SetCommand(path)
	if path == "" {
		return
	}
	if t := notRunnable(path); t != nil {
		log.Warn("the hook cannot be run: no event will reach it", "command", path, "error", t.text, "do", t.do)
	} else if t := hookTrouble(path); t != nil {
		log.Warn("the hook is not safe", "command", path, "error", t.text, "do", t.do)
	}
}

// runHook runs the hook until it ends; when ctx does it is killed, with all that it started and
// that did not leave its process group.
func runHook(ctx context.Context, path string, environment []string) error {
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	said := &firstWords{}
	cmd.Stdout, cmd.Stderr = said, said
	err := cmd.Run()
	if text := strings.TrimSpace(string(said.words)); err != nil && text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// firstWords keeps the beginning of what is written. It is an io.Writer and nothing else: what else
// it could do, as ReadFrom, would go past the bound.
type firstWords struct{ words []byte }

func (f *firstWords) Write(p []byte) (int, error) {
	f.words = append(f.words, p[:min(hookWords-len(f.words), len(p))]...)
	return len(p), nil
}
