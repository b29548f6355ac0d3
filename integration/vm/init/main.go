//go:build linux

// Program init is the first process of the test tier's guest. It makes a root out of the machine's
// own file system, read-only below and memory above, runs the job it is given there, says how that
// ended and switches the guest off.
//
// It is started twice: from the initramfs, to mount, and again in the new root, to run.
package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"pbr/integration/vm/guest"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == guest.SecondStage {
		finish(runJob())
	}
	// Only an error returns: the new root's init takes this one's place.
	finish(guest.StatusBroken, enterRoot())
}

// finish leaves the exit status where the machine outside finds it, and ends the guest.
func finish(status int, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "the guest:", err)
	}
	if err := os.WriteFile(guest.StatusFile, fmt.Appendln(nil, status), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "the guest:", err)
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // an init that returns is a panic of the kernel
}

// runJob runs the job with the tests' console as its input and output, and returns its exit status.
func runJob() (int, error) {
	console, err := os.OpenFile(guest.Console, os.O_RDWR, 0)
	if err != nil {
		return guest.StatusBroken, err
	}
	fd := console.Fd()
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", guest.JobFile}, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{fd, fd, fd},
		// A session of its own with the console as its terminal: a shell needs both.
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0},
	})
	if err != nil {
		return guest.StatusBroken, fmt.Errorf("starting the job: %w", err)
	}
	// The first process is the parent of every orphan.
	for {
		var ws syscall.WaitStatus
		dead, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return guest.StatusBroken, fmt.Errorf("waiting for the job: %w", err)
		case dead == pid && ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case dead == pid:
			return ws.ExitStatus(), nil
		}
	}
}

// bootValue returns the value of key=value on the kernel's command line.
func bootValue(key string) (string, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	for _, word := range strings.Fields(string(line)) {
		if value, ok := strings.CutPrefix(word, key+"="); ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("the kernel's command line has no %s", key)
}
