//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/integration/vm/guest"
)

// mount is one call of mount(2). The target is made if it is not there.
type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

func (m mount) do() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", m.source, m.target, err)
	}
	return nil
}

func mountAll(mounts []mount) error {
	for _, m := range mounts {
		if err := m.do(); err != nil {
			return err
		}
	}
	return nil
}

// over9P are the options of both shares: requests as big as the device takes them (mount option
// msize of 9p).
const over9P = "trans=virtio,version=9p2000.L,msize=512000"

// enterRoot mounts the guest's root and starts init's second stage in it. It returns only on an
// error.
func enterRoot() error {
	const newRoot = "/root"
	if err := (mount{"proc", "/proc", "proc", 0, ""}).do(); err != nil {
		return err
	}
	if err := loadModules(); err != nil {
		return err
	}
	err := mountAll([]mount{
		{"devtmpfs", "/dev", "devtmpfs", 0, ""},
		{guest.ShareTag, guest.ShareDir, "9p", 0, over9P},
		// Nobody changes the machine's programs while the guest runs: it may keep all that it
		// reads.
		{guest.RootTag, "/machine", "9p", unix.MS_RDONLY, over9P + ",cache=loose"},
		{"tmpfs", "/memory", "tmpfs", 0, ""},
	})
	if err != nil {
		return err
	}
	for _, dir := range []string{"/memory/upper", "/memory/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	err = mountAll([]mount{
		{"overlay", newRoot, "overlay", 0, "lowerdir=/machine,upperdir=/memory/upper,workdir=/memory/work"},
		{guest.ShareDir, newRoot + guest.ShareDir, "", unix.MS_BIND, ""},
		{"/dev", newRoot + "/dev", "", unix.MS_BIND, ""},
	})
	if err != nil {
		return err
	}
	if err := bindMachine(newRoot); err != nil {
		return err
	}
	// The initramfs cannot be unmounted, only covered (what switch_root(8) does).
	if err := unix.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := mountSystem(); err != nil {
		return err
	}
	if err := makeDevices(); err != nil {
		return err
	}
	return unix.Exec(guest.InitFile, []string{guest.InitFile, guest.SecondStage}, os.Environ())
}

// bindMachine puts the machine's source and the kernel's modules where the guest looks for them.
// The source may lie below /tmp, which the guest is about to cover.
func bindMachine(newRoot string) error {
	source, err := bootValue(guest.SourceKey)
	if err != nil {
		return err
	}
	modules, err := bootValue(guest.ModulesKey)
	if err != nil {
		return err
	}
	return mountAll([]mount{
		{filepath.Join("/machine", source), newRoot + guest.SourceDir, "", unix.MS_BIND, ""},
		{filepath.Join("/machine", modules), newRoot + "/usr/lib/modules", "", unix.MS_BIND, ""},
	})
}

// mountSystem mounts what every Linux system has, inside the new root.
func mountSystem() error {
	return mountAll([]mount{
		{"proc", "/proc", "proc", 0, ""},
		{"sysfs", "/sys", "sysfs", 0, ""},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""},
		{"bpf", "/sys/fs/bpf", "bpf", 0, ""},
		{"devpts", "/dev/pts", "devpts", 0, "ptmxmode=666"},
		{"tmpfs", "/dev/shm", "tmpfs", 0, ""},
		{"tmpfs", "/run", "tmpfs", 0, "mode=755"},
		{"tmpfs", "/tmp", "tmpfs", 0, "mode=1777"},
	})
}

// loadModules loads the modules of the initramfs. All others are the kernel's business, which runs
// modprobe.
func loadModules() error {
	list, err := os.ReadFile(guest.ModuleList)
	if err != nil {
		return err
	}
	for _, path := range strings.Fields(string(list)) {
		if err := loadModule(path); err != nil {
			return fmt.Errorf("loading module %s: %w", path, err)
		}
	}
	return nil
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}
