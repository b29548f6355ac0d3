//go:build linux

// Program agent runs in the guests of `make test-boot`: it runs shell commands that come by a
// virtio serial port, one after the other, and answers with what they print and how they end.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"pbr/integration/boot/wire"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

// run says hello, with the boot's name, and serves.
func run() error {
	port, err := openPort()
	if err != nil {
		return err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	out := json.NewEncoder(port)
	if err := out.Encode(wire.Answer{Boot: strings.TrimSpace(string(boot))}); err != nil {
		return err
	}
	in := json.NewDecoder(bufio.NewReader(port))
	for {
		var r wire.Request
		if err := in.Decode(&r); err != nil {
			return err
		}
		if err := out.Encode(answer(r)); err != nil {
			return err
		}
	}
}

func answer(r wire.Request) wire.Answer {
	cmd := exec.Command("sh", "-c", r.Command)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	cmd.WaitDelay = time.Second // a child that goes on keeps the output open
	out, err := cmd.CombinedOutput()
	a := wire.Answer{ID: r.ID, Output: string(out), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		a.Output, a.Code = a.Output+err.Error(), -1
	}
	return a
}

// portLimit is how long the port may take to appear: its driver is a module.
const portLimit = time.Minute

func openPort() (*os.File, error) {
	for end := time.Now().Add(portLimit); ; time.Sleep(50 * time.Millisecond) {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, name := range names {
			if b, _ := os.ReadFile(name); strings.TrimSpace(string(b)) != wire.Port {
				continue
			}
			if f, err := os.OpenFile(filepath.Join("/dev", filepath.Base(filepath.Dir(name))), os.O_RDWR, 0); err == nil {
				return f, nil
			}
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("no virtio port %s", wire.Port)
		}
	}
}
