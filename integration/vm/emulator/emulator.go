// Package emulator says how QEMU runs a guest on this machine.
package emulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Ways to run the guest's instructions: by the processor, or emulated by QEMU, about ten times
// slower.
const (
	KVM = "kvm"
	TCG = "tcg"
)

// kvmProcessor is the machine's own, without the register of hardware flaws (MSR 0x10a): where KVM
// is itself in a guest, QEMU 7.2 aborts when it cannot set it.
const kvmProcessor = "host,arch-capabilities=off"

// tcgProcessor has what today's distributions are built for (x86-64-v2) and no wide vectors, which
// cost more to emulate than they save.
const tcgProcessor = "Nehalem"

// probeLimit is what probeProgram may take. A processor needs a tenth of a second.
const probeLimit = 3 * time.Second

// probePort is where QEMU's isa-debug-exit device listens, probeStatus what it makes of the
// program's 0x10: (value << 1) | 1.
const (
	probePort   = 0xf4
	probeStatus = 0x10<<1 | 1
)

// probeProgram counts down from 64 Mi and ends the guest. It stands where a BIOS does, and the
// processor starts in its last 16 bytes.
func probeProgram() []byte {
	const size = 64 << 10
	rom := bytes.Repeat([]byte{0xf4}, size) // hlt
	copy(rom, []byte{
		0x66, 0xb9, 0x00, 0x00, 0x00, 0x04, // mov ecx, 0x4000000
		0x67, 0xe2, 0xfd, // loop to itself, counting ecx
		0xb0, 0x10, // mov al, 0x10
		0xe6, probePort, // out probePort, al
	})
	copy(rom[size-16:], []byte{0xe9, 0x0d, 0x00}) // jmp to the first byte, 64 KiB wrapped
	return rom
}

// Program is QEMU's, and Package the Debian package that has it.
const (
	Program = "qemu-system-x86_64"
	Package = "qemu-system-x86"
)

// Options returns the options of QEMU for a way to run a guest.
func Options(accel string) []string {
	if accel == TCG {
		return []string{"-accel", "tcg,thread=multi", "-cpu", tcgProcessor}
	}
	return []string{"-accel", KVM, "-cpu", kvmProcessor}
}

// BootOptions are what the kernel's command line needs besides. A program that is always at the
// same addresses is translated once, not every time it is started.
func BootOptions(accel string) []string {
	if accel == TCG {
		return []string{"mitigations=off", "norandmaps"}
	}
	return nil
}

// Best returns the best way that works here. Some machines have a /dev/kvm that opens and then
// refuses a processor, or has one that interprets every instruction; so KVM has to run a program,
// in time.
func Best(qemu string) (string, error) {
	dir, err := os.MkdirTemp("", "pbr-probe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	rom := filepath.Join(dir, "rom")
	if err := os.WriteFile(rom, probeProgram(), 0o644); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
	defer cancel()
	err = exec.CommandContext(ctx, qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-accel", KVM, "-cpu", kvmProcessor, "-bios", rom,
		"-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=4", probePort)).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == probeStatus {
		return KVM, nil
	}
	return TCG, nil
}
