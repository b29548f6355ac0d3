package installed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// root is a system in a directory, whose processes have a namespace of their own for processes and
// mounts, and a lab host's network.
type root struct {
	*lab.Host
	dir string
	// pid is process 1 of the namespace, as this machine numbers it.
	pid string
}

// systemctl stands in for systemd's: it writes down what maintainer scripts ask for, and restarts
// pbr watch as the unit would be.
const systemctl = `#!/bin/sh
echo "$*" >>/systemctl.log
case $* in
"try-restart pbr.service")
	read -r watch </watch.pid && kill "$watch"
	while kill -0 "$watch" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$watch/status"; do sleep 0.05; done
	setsid /usr/sbin/pbr watch >>/watch.log 2>&1 </dev/null &
	echo $! >/watch.pid
	;;
"enable --now pbr")
	setsid /usr/sbin/pbr watch >>/watch.log 2>&1 </dev/null &
	echo $! >/watch.pid
	while pbr status 2>&1 | grep -q 'is not running'; do sleep 0.05; done
	;;
"disable --now pbr"*)
	[ ! -s /watch.pid ] || kill "$(cat /watch.pid)"
	;;
esac
`

func newRoot(t *testing.T, h *lab.Host, suite string) *root {
	t.Helper()
	r := &root{Host: h, dir: t.TempDir()}
	tar, err := exec.Command("sh", "../debian-root.sh", suite).Output()
	if err != nil {
		t.Fatalf("debian-root.sh %s: %v", suite, err)
	}
	if out, err := exec.Command("tar", "-C", r.dir, "--exclude=./dev/*", "-xf",
		strings.TrimSpace(string(tar))).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	_ = os.Remove(filepath.Join(r.dir, "usr/bin/systemctl"))
	r.put("/usr/bin/systemctl", systemctl, 0o755)
	if err := os.MkdirAll(filepath.Join(r.dir, "run/systemd/system"), 0o755); err != nil { // as if systemd ran
		t.Fatal(err)
	}
	r.boot(t)
	return r
}

// boot starts process 1, which does nothing.
func (r *root) boot(t *testing.T) {
	t.Helper()
	cmd := r.Command("unshare", "--pid", "--fork", "--mount", "--propagation", "private", "--kill-child", "sh", "-ec", `
		mount -t proc proc "$0/proc"
		mount -t sysfs sysfs "$0/sys"
		mount -t tmpfs tmpfs "$0/dev"
		for d in null zero random urandom; do : >"$0/dev/$d"; mount --bind "/dev/$d" "$0/dev/$d"; done
		ln -s /proc/self/fd "$0/dev/fd"
		mkdir "$0/dev/pts"
		mount --bind /dev/pts "$0/dev/pts"
		: >"$0/booted"
		exec chroot "$0" sleep infinity`, r.dir)
	if err := r.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lab.WaitFor(t, "process 1", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		r.pid = strings.TrimSpace(string(children))
		_, err := os.Stat(filepath.Join(r.dir, "booted"))
		return err == nil && r.pid != ""
	})
}

func (r *root) put(name, text string, mode os.FileMode) {
	r.T().Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.T().Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		r.T().Fatal(err)
	}
}

func (r *root) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(r.dir, name))
	return err == nil
}

func (r *root) read(name string) string {
	b, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.T().Error(err)
	}
	return string(b)
}

// try runs a shell command inside.
func (r *root) try(command string) lab.Result {
	r.T().Helper()
	enter := r.enter("sh", "-c", command)
	return r.Exec(enter[0], enter[1:]...)
}

// enter returns the command line that runs a program inside.
func (r *root) enter(argv ...string) []string {
	return append([]string{"nsenter", "-t", r.pid, "--pid", "--mount", "--root", "--wd", "--", "env", "-i",
		"PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm",
		"DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "HOME=/root"}, argv...)
}

// run is try for what has to succeed; it returns both outputs.
func (r *root) run(command string) string {
	r.T().Helper()
	res := r.try(command)
	if res.Code != 0 {
		r.T().Fatalf("%s: exit status %d\n%s%s", command, res.Code, res.Stdout, res.Stderr)
	}
	return res.Stdout + res.Stderr
}

// watch starts pbr watch and waits until it has applied the policy.
func (r *root) watch() {
	r.T().Helper()
	r.run("setsid /usr/sbin/pbr watch >>/watch.log 2>&1 </dev/null & echo $! >/watch.pid")
	r.settled()
}

// settled waits until a watch runs and the kernel holds the policy.
func (r *root) settled() {
	r.T().Helper()
	if !lab.Eventually(20*time.Second, func() bool {
		res := r.try("pbr status && pbr diff")
		return res.Code == 0 && !strings.Contains(res.Stdout, "is not running")
	}) {
		res := r.try("pbr status; pbr diff; cat /watch.log")
		r.T().Fatalf("the watch does not hold the policy:\n%s%s", res.Stdout, res.Stderr)
	}
}
