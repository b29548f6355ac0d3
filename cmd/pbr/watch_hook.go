package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// hookWords bounds what is kept of what a hook prints.
const hookWords = 500

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
	if err != nil && said.Len() > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return err
}

// firstWords keeps the beginning of what is written.
type firstWords struct{ bytes.Buffer }

func (f *firstWords) Write(p []byte) (int, error) {
	if room := hookWords - f.Len(); room > 0 {
		f.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
