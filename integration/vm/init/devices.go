//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// makeDevices makes what the kernel leaves to others below /dev.
func makeDevices() error {
	// Documentation/admin-guide/devices.txt, "Compulsory links".
	for name, to := range map[string]string{"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"} {
		if err := os.Symlink("/proc/self/fd"+to, "/dev/"+name); err != nil {
			return err
		}
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("asking for the kernel's version: %w", err)
	}
	list, err := os.ReadFile(filepath.Join("/lib/modules", unix.ByteSliceToString(name.Release[:]), "modules.devname"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		if err := makeDevice(line); err != nil {
			return fmt.Errorf("making the device of modules.devname's line %q: %w", line, err)
		}
	}
	return nil
}

// makeDevice makes a device whose module the kernel loads when it is opened: "MODULE NAME TYPE
// MAJOR:MINOR", the type being a letter before the number (depmod.d(5), kmod(8) static-nodes).
func makeDevice(line string) error {
	var module, name string
	var kind byte
	var major, minor uint32
	if strings.HasPrefix(line, "#") {
		return nil
	}
	if _, err := fmt.Sscanf(line, "%s %s %c%d:%d", &module, &name, &kind, &major, &minor); err != nil {
		return err
	}
	mode := uint32(unix.S_IFCHR)
	if kind == 'b' {
		mode = unix.S_IFBLK
	}
	path := filepath.Join("/dev", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	err := unix.Mknod(path, mode|0o600, int(unix.Mkdev(major, minor)))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}
