package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pbr/integration/vm/emulator"
	"pbr/integration/vm/guest"
)

// guestMemory is in MiB: the tests need a quarter of it, the rest is for what they and the shell
// write.
const guestMemory = 2048

// bootLimit is how long a guest may take to come to life: 2 s with acceleration, 15 s emulated, and
// the machine may be busy.
const bootLimit = 2 * time.Minute

// errDead says that the guest never came to life.
var errDead = errors.New("the guest did not come to life")

// qemu is the path of the emulator.
type qemu string

func findQEMU() (qemu, error) {
	path, err := exec.LookPath(emulator.Program)
	if err != nil {
		return "", fmt.Errorf("%w: no %s; install %s", errCannot, emulator.Program, emulator.Package)
	}
	return qemu(path), nil
}

// args returns the command line of a guest.
func (q qemu) args(k kernel, s *share, o options) []string {
	boot := []string{
		"console=ttyS0", "loglevel=5", "panic=-1", "oops=panic",
		guest.SourceKey + "=" + s.source, guest.ModulesKey + "=" + k.modules,
	}
	boot = append(boot, emulator.BootOptions(o.accel)...)
	return append(emulator.Options(o.accel),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-smp", strconv.Itoa(min(4, runtime.NumCPU())), "-m", strconv.Itoa(guestMemory),
		"-kernel", k.image, "-initrd", s.path("initramfs"), "-append", strings.Join(boot, " "),
		"-serial", "file:"+s.path("messages"),
		"-device", "virtio-serial-pci", "-chardev", "stdio,id=console,signal=off", "-device", "virtconsole,chardev=console",
		"-device", "virtio-rng-pci",
		// remap: the machine's / is more than one file system, whose inode numbers may be equal.
		"-virtfs", "local,path=/,mount_tag="+guest.RootTag+",security_model=none,readonly=on,multidevs=remap",
		"-virtfs", "local,path="+s.dir+",mount_tag="+guest.ShareTag+",security_model=none",
	)
}

// boot runs a guest until it switches itself off, and hands what its job says to out.
func (q qemu) boot(k kernel, s *share, o options, out *output) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !o.shell {
		defer time.AfterFunc(o.timeout, func() { cancel(fmt.Errorf("the guest did not end within %v", o.timeout)) }).Stop()
		dead := time.AfterFunc(bootLimit, func() { cancel(fmt.Errorf("%w within %v", errDead, bootLimit)) })
		out.onAlive = func() { dead.Stop() }
		defer dead.Stop()
	}
	cmd := exec.CommandContext(ctx, string(q), q.args(k, s, o)...)
	// The guest goes with its runner, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	cmd.Stdout = out
	if o.shell {
		cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	}
	runtime.LockOSThread() // Pdeathsig is about the thread that started the process
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	out.flush()
	if cmd.ProcessState != nil {
		out.processor = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%s: %w", q, err)
	case !o.shell && out.alive.IsZero():
		return fmt.Errorf("%w:\n%s", errDead, s.lastMessages())
	}
	return nil
}
