package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// bootSystemd starts systemd as the first process of a container with a /run of its own, and
// nothing but the journal and pbr's units in it: what else this machine would start is masked,
// since an emulated guest takes long for it.
const bootSystemd = `
set -e
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /etc/pbr
for unit in /lib/systemd/system/*.target.wants/* /etc/systemd/system/*.target.wants/*; do
	case $unit in *journald*) ;; *) ln -sf /dev/null "/run/systemd/system/${unit##*/}" ;; esac
done
cp "$1"/*.service /run/systemd/system
printf '[Unit]\nWants=pbr.service\n' >/run/systemd/system/router.target
touch /usr/sbin/pbr
mount --bind "$2" /usr/sbin/pbr
mount -t tmpfs tmpfs /tmp # systemd-tmpfiles empties it at boot
exec env container=pbr-test /lib/systemd/systemd --unit=router.target --show-status=no --log-target=console
`

// machine is a router with systemd on it.
type machine struct {
	*watched
	pid string
	log *monitor
}

// bootMachine returns when the first process runs.
func bootMachine(w *watched) *machine {
	w.t.Helper()
	units, err := os.Getwd()
	if err != nil {
		w.t.Fatal(err)
	}
	m := &machine{watched: w, log: &monitor{}}
	m.writePolicy(watchPolicy)
	cmd := w.Router.Command("unshare", "--pid", "--mount", "--cgroup", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc",
		"sh", "-c", bootSystemd, "sh", units+"/"+unitDir, pbrPath)
	cmd.Stdout, cmd.Stderr = m.log, m.log
	if err := w.Router.Start(cmd); err != nil {
		w.t.Fatalf("starting systemd: %v", err)
	}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("systemd said:\n%s\n%s", m.log.text(), m.run("journalctl", "--no-pager", "-n", "60").Stdout)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid)
	lab.WaitFor(w.t, "systemd", func() bool {
		b, _ := os.ReadFile(children)
		m.pid = strings.TrimSpace(string(b))
		return m.pid != "" && m.run("systemctl", "is-active", "router.target").Code == 0
	})
	return m
}

// run runs a command beside systemd.
func (m *machine) run(args ...string) lab.Result {
	m.t.Helper()
	return m.Router.Exec("nsenter", append([]string{"--target", m.pid, "--mount", "--pid", "--"}, args...)...)
}

// must is run of what has to succeed.
func (m *machine) must(args ...string) string {
	m.t.Helper()
	res := m.run(args...)
	if res.Code != 0 {
		m.t.Fatalf("%s: exit status %d\n%s%s", strings.Join(args, " "), res.Code, res.Stdout, res.Stderr)
	}
	return strings.TrimSpace(res.Stdout)
}

// writePolicy writes /etc/pbr/pbr.toml: the machine shares the guest's /etc.
func (m *machine) writePolicy(policy string) {
	m.t.Helper()
	if err := os.MkdirAll("/etc/pbr", 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile("/etc/pbr/pbr.toml", []byte(policy), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// The units, as they are installed, under the real systemd: ready, failover, reload, a killed
// daemon, the end.
func TestVMSystemdUnits(t *testing.T) {
	t.Parallel()
	lab.NeedGuest(t)
	lab.NeedProgram(t, "/lib/systemd/systemd")
	w := newWatched(t, watchPolicy, 2)
	m := bootMachine(w)
	active := func() bool { return m.run("systemctl", "is-active", "pbr.service").Code == 0 }
	lab.WaitFor(t, "pbr.service to be ready", active)
	step := steps.Of(t)
	step.Run("it fails over and back", func(t *testing.T) {
		w.waitArrives(byDefault, "isp1")
		w.dead("isp1", "9.9.9.9")
		w.waitArrives(byDefault, "isp2")
		w.alive("isp1", "9.9.9.9")
		w.waitArrives(byDefault, "isp1")
	})

	step.Run("a reload follows an edit", func(t *testing.T) {
		m.writePolicy(watchPolicy + "\n[[policy]]\nname = \"more\"\nsrc = \"192.168.10.10\"\nuplink = \"isp2\"\n")
		m.must("systemctl", "reload", "pbr.service")
		w.waitArrives(byDefault, "isp2")
	})

	step.Run("a reload of a broken file fails", func(t *testing.T) {
		m.must("systemctl", "restart", "pbr-apply.service")
		for _, unit := range []string{"pbr.service", "pbr-apply.service"} {
			m.must("systemctl", "reload", unit)
			m.writePolicy("uplink = 7\n")
			if res := m.run("systemctl", "reload", unit); res.Code == 0 {
				t.Errorf("systemctl reload %s takes a broken file", unit)
			}
			m.writePolicy(watchPolicy + "\n[[policy]]\nname = \"more\"\nsrc = \"192.168.10.10\"\nuplink = \"isp2\"\n")
		}
	})

	step.Run("systemd restarts it, and connections stay", func(t *testing.T) {
		second := w.calls(2, bySecond, "isp2")
		m.must("systemctl", "kill", "--signal=KILL", "pbr.service")
		lab.WaitFor(t, "systemd to restart pbr", func() bool {
			return m.must("systemctl", "show", "--property=NRestarts", "--value", "pbr.service") == "1" && active()
		})
		m.must("pbr", "diff")
		second.stillUp("pbr killed and restarted")
	})

	step.Run("its end changes nothing", func(t *testing.T) {
		ours := w.router.ours()
		m.must("systemctl", "stop", "pbr.service")
		if d := diffLines(ours, w.router.ours()); d != "" {
			t.Errorf("the end of the service changed:\n%s", d)
		}
		m.writePolicy(watchPolicy)
		m.must("systemctl", "restart", "pbr-apply.service")
		m.must("pbr", "diff")
		w.waitArrives(byDefault, "isp1")
	})
	step.Run("no unit has failed", func(t *testing.T) {
		if failed := m.must("systemctl", "--failed", "--plain", "--no-legend"); failed != "" {
			t.Errorf("systemd has failed units:\n%s", failed)
		}
	})
}
