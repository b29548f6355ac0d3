package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pbr/cmd/pbr/daemon"
)

// hookWords bounds what is kept of what a hook prints.
const hookWords = 500

// setHook makes a command the hook; "" is none. That it cannot be run is said at once rather than at the first failure of an uplink, but it
// is no reason to leave uplinks unwatched, and it may be mended without a reload.
func setHook(hooks *daemon.Hooks, path string, log *slog.Logger) {
	hooks.SetCommand(path)
	if path == "" {
		return
	}
	if err := runnable(path); err != nil {
		log.Warn("the hook cannot be run: no event will reach it", "command", path, "error", err)
	}
}

// runnable tells why a file cannot be run.
func runnable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file")
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is no regular file")
	case unix.Access(path, unix.X_OK) != nil:
		return errors.New("it is not executable: chmod +x " + path)
	}
	return nil
}

// runHook runs the hook until it ends; when ctx does it is killed, with all that it started and that did not leave its process group.
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

// firstWords keeps the beginning of what is written. It is an io.Writer and nothing else: what else it could do, as ReadFrom, would go
// past the bound.
type firstWords struct{ words []byte }

func (f *firstWords) Write(p []byte) (int, error) {
	f.words = append(f.words, p[:min(hookWords-len(f.words), len(p))]...)
	return len(p), nil
}
