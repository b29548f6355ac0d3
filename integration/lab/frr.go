package lab

import (
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
)

const frrDir = "/usr/lib/frr"

// FRR is FRR's zebra and bfdd in a host.
type FRR struct {
	// BFD is the process of bfdd.
	BFD *os.Process

	t    testing.TB
	host *Host
	dir  string
}

// StartFRR starts zebra and bfdd, with a configuration of bfdd; they end with the test.
func (h *Host) StartFRR(conf string) *FRR {
	t := h.lab.t
	t.Helper()
	NeedProgram(t, frrDir+"/bfdd", frrDir+"/zebra", "vtysh")
	dir, err := os.MkdirTemp("/tmp", "pbr-frr-") // those of tests are closed to FRR's user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	u, err := user.Lookup("frr")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	f := &FRR{t: t, host: h, dir: dir}
	for name, text := range map[string]string{"zebra.conf": "", "bfdd.conf": conf} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	f.start("zebra")
	WaitFor(t, "zebra", func() bool { _, err := os.Stat(f.path("zserv")); return err == nil })
	f.BFD = f.start("bfdd", "--bfdctl", f.path("ctl")).Process
	WaitFor(t, "bfdd's shell", func() bool {
		c, err := net.Dial("unix", f.path("bfdd.vty"))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return f
}

func (f *FRR) path(name string) string { return filepath.Join(f.dir, name) }

func (f *FRR) start(name string, more ...string) *exec.Cmd {
	f.t.Helper()
	cmd := exec.Command(frrDir+"/"+name, append([]string{"-A", "127.0.0.1", "-P", "0", "-z", f.path("zserv"), "-i", f.path(name + ".pid"),
		"--vty_socket", f.dir, "-f", f.path(name + ".conf"), "--log", "stdout"}, more...)...)
	if err := f.host.Start(cmd); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// VTYSH runs commands in FRR's shell and returns what it prints.
func (f *FRR) VTYSH(commands ...string) string {
	f.t.Helper()
	args := []string{"--vty_socket", f.dir}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	out, err := exec.Command("vtysh", args...).CombinedOutput()
	if err != nil {
		f.t.Fatalf("vtysh: %v: %s", err, out)
	}
	return string(out)
}
