package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// execLimit ends a command that hangs; none that the tests run takes a tenth of it.
var execLimit = Patience(60 * time.Second)

// Host is one network namespace.
type Host struct {
	// Name is the short name, NS the one that `ip netns` knows.
	Name, NS string

	lab    *Lab
	fd     *os.File
	cookie uint64
}

// Result is how a command ended.
type Result struct {
	Stdout, Stderr string
	// Code is the exit status, -1 if a signal ended the command.
	Code int
}

// T returns the test that the host belongs to.
func (h *Host) T() testing.TB { return h.lab.t }

func (h *Host) create() error {
	if out, err := exec.Command("ip", "netns", "add", h.NS).CombinedOutput(); err != nil {
		return fmt.Errorf("adding namespace %s: %w: %s", h.NS, err, out)
	}
	fd, err := os.Open(netnsPath(h.NS))
	if err != nil {
		return fmt.Errorf("opening namespace %s: %w", h.NS, err)
	}
	h.fd = fd
	h.IP("link set lo up")
	// Addresses are usable at once: nobody else is on these networks, so there is nothing
	// that duplicate address detection could find.
	h.Sysctl("net/ipv6/conf/default/accept_dad", "0")
	h.Sysctl("net/ipv6/conf/default/dad_transmits", "0")
	h.Sysctl("net/ipv6/conf/default/router_solicitations", "0")
	h.Sysctl("net/ipv6/conf/default/accept_ra", "0")
	h.cookie = h.netnsCookie()
	return nil
}

// netnsCookie returns the kernel's identity of the namespace (SO_NETNS_COOKIE, socket(7)).
func (h *Host) netnsCookie() uint64 {
	var cookie uint64
	h.Do(func() {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return
		}
		defer unix.Close(s)
		cookie, _ = unix.GetsockoptUint64(s, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	})
	return cookie
}

// StateDir is where pbr keeps what it remembers of this namespace.
func (h *Host) StateDir() string { return fmt.Sprintf("/run/pbr/net-%x", h.cookie) }

// LastingDir is where pbr keeps what outlives a restart of the machine.
func (h *Host) LastingDir() string { return "/var/lib/pbr/netns/" + h.NS }

// removeAll removes a directory into which a process that ends just now, as an undo, may still
// write.
func removeAll(dir string) (err error) {
	for range 20 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func (h *Host) remove() error {
	var errs []error
	if h.fd != nil {
		errs = append(errs, h.fd.Close())
	}
	if h.cookie != 0 {
		errs = append(errs, removeAll(h.StateDir()))
	}
	errs = append(errs, removeAll(h.LastingDir()))
	if _, err := os.Stat(netnsPath(h.NS)); err == nil {
		if out, err := exec.Command("ip", "netns", "del", h.NS).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("deleting namespace %s: %w: %s", h.NS, err, out))
		}
	}
	return errors.Join(errs...)
}

// Do runs f on a thread that is inside the host. Sockets that f opens, and commands that it
// starts, stay there. f must not start goroutines that do either.
func (h *Host) Do(f func()) {
	done := make(chan error)
	go func() {
		// The thread is never unlocked: it ends with the goroutine, so nothing else can ever
		// run on a thread that is in the wrong namespace.
		runtime.LockOSThread()
		if err := unix.Setns(int(h.fd.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering namespace %s: %w", h.NS, err)
			return
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		panic(err) // only a broken lab gets here; f's own failures are f's business
	}
}

// Command prepares a command that will run inside the host; start it with Start.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	return cmd
}

// Start starts a prepared command inside the host.
func (h *Host) Start(cmd *exec.Cmd) error {
	var err error
	h.Do(func() { err = cmd.Start() })
	return err
}

// Exec runs a command inside the host, whatever its exit status.
func (h *Host) Exec(name string, args ...string) Result { return h.ExecInput("", name, args...) }

// ExecInput is Exec with something on standard input.
func (h *Host) ExecInput(stdin, name string, args ...string) Result {
	h.lab.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), execLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A child that outlives its parent keeps the pipes open; it is not waited for.
	cmd.WaitDelay = time.Second
	err := h.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		h.lab.t.Fatalf("%s: %s %s did not end within %v", h.Name, name, strings.Join(args, " "), execLimit)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		h.lab.t.Fatalf("%s: running %s: %v", h.Name, name, err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// Run runs a command that must succeed, and returns its standard output.
func (h *Host) Run(name string, args ...string) string {
	h.lab.t.Helper()
	return h.RunInput("", name, args...)
}

// RunInput is Run with something on standard input.
func (h *Host) RunInput(stdin, name string, args ...string) string {
	h.lab.t.Helper()
	res := h.ExecInput(stdin, name, args...)
	if res.Code != 0 {
		h.lab.t.Fatalf("%s: %s %s: exit status %d\n%s%s%s", h.Name, name, strings.Join(args, " "), res.Code, stdin, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// IP runs ip(8) commands, one string each, as a batch that must succeed. Put the family in a batch
// of its own: IP6.
func (h *Host) IP(commands ...string) {
	h.lab.t.Helper()
	h.RunInput(strings.Join(commands, "\n")+"\n", "ip", "-batch", "-")
}

// IP6 is IP for IPv6 rules, routes and neighbours.
func (h *Host) IP6(commands ...string) {
	h.lab.t.Helper()
	h.RunInput(strings.Join(commands, "\n")+"\n", "ip", "-6", "-batch", "-")
}

// NFT loads nftables commands.
func (h *Host) NFT(script string) {
	h.lab.t.Helper()
	h.RunInput(script, "nft", "-f", "-")
}

// Sysctl writes a setting; its path is below /proc/sys.
func (h *Host) Sysctl(path, value string) {
	h.lab.t.Helper()
	var err error
	h.Do(func() { err = os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0) })
	if err != nil {
		h.lab.t.Fatalf("%s: setting %s to %s: %v", h.Name, path, value, err)
	}
}

// ReadSysctl reads a setting; its path is below /proc/sys.
func (h *Host) ReadSysctl(path string) string {
	h.lab.t.Helper()
	var b []byte
	var err error
	h.Do(func() { b, err = os.ReadFile(filepath.Join("/proc/sys", path)) })
	if err != nil {
		h.lab.t.Fatalf("%s: reading %s: %v", h.Name, path, err)
	}
	return strings.TrimSpace(string(b))
}
