package installed

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// OpenWrt's service, on a system whose shell and tools are busybox's, whose /var is a link into
// /tmp and which has no /run, as before OpenWrt 24.10. testdata/rc.common stands in for OpenWrt's.
func TestOpenWrtService(t *testing.T) {
	needPackages(t)
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
		isp.IP("addr add 1.1.1.1/32 dev lo", "addr add 9.9.9.9/32 dev lo") // what the checks of pbr init ask
	}
	n.Router.IP("route add default via 192.0.2.1 metric 100", "route add default via 198.51.100.1 metric 200")
	r := newBusybox(t, n.Router)
	r.put("/etc/rc.common", readFile(t, "testdata/rc.common"), 0o755)
	r.put("/etc/init.d/pbr", readFile(t, "../../packaging/openwrt/pbr.init"), 0o755)
	r.put("/usr/sbin/pbr", readFile(t, filepath.Join(os.Getenv(packagesEnv), "pbr-small")), 0o755)
	watch := func() string {
		return strings.TrimSpace(r.run("for p in $(pidof pbr); do ! grep -qs '^State:.[^Z]' /proc/$p/status || echo $p; done"))
	}
	var conn *lab.Conn

	step := steps.Of(t)
	step.Run("without a policy nothing starts, and it says what to do", func(t *testing.T) {
		if out := r.run("/etc/init.d/pbr start"); !strings.Contains(out, "pbr init") || watch() != "" {
			t.Errorf("it says %q, and pbr watch is process %q", out, watch())
		}
	})
	step.Run("start: the watch holds the policy, and is restarted however often it ends", func(t *testing.T) {
		r.run("pbr init >/etc/pbr/pbr.toml && pbr check && /etc/init.d/pbr start")
		r.settled()
		for _, want := range []string{"command /usr/sbin/pbr watch\n", "respawn 3600 5 0\n", "stderr 1\n"} {
			if told := r.read("/tmp/procd/pbr"); !strings.Contains(told, want) {
				t.Errorf("procd is not told %q but\n%s", want, told)
			}
		}
		conn = dial(t, n.LANs["lan"])
	})
	step.Run("what must not outlive a reboot is in memory", func(t *testing.T) {
		if to := r.run("readlink -f /run/pbr"); to != "/tmp/run/pbr\n" {
			t.Errorf("/run/pbr is %s", to)
		}
	})
	step.Run("a second start changes nothing", func(t *testing.T) {
		before := watch()
		r.run("/etc/init.d/pbr start")
		if now := watch(); now != before {
			t.Errorf("the watch was process %s and is %s", before, now)
		}
	})
	step.Run("reload: the same watch holds the changed policy", func(t *testing.T) {
		before := watch()
		r.run(`printf '[[policy]]\nname = "added"\ndst = "192.0.2.99/32"\naction = "drop"\n' >>/etc/pbr/pbr.toml && /etc/init.d/pbr reload`)
		if out := r.run("pbr diff && pbr status"); !strings.Contains(out, "added") || watch() != before {
			t.Errorf("process %s, before %s, says\n%s", watch(), before, out)
		}
	})
	step.Run("reload: a broken policy changes nothing", func(t *testing.T) {
		r.run("cp /etc/pbr/pbr.toml /tmp/good && echo '[[uplink' >>/etc/pbr/pbr.toml")
		if res := r.try("/etc/init.d/pbr reload"); res.Code == 0 {
			t.Errorf("it says %s%s", res.Stdout, res.Stderr)
		}
		r.run("cp /tmp/good /etc/pbr/pbr.toml && /etc/init.d/pbr reload && pbr diff")
	})
	step.Run("a killed watch comes back", func(t *testing.T) {
		before := watch()
		r.run("kill -9 " + before)
		ask(t, conn, "without a watch")
		lab.WaitFor(t, "another watch", func() bool { now := watch(); return now != "" && now != before })
		r.settled()
	})
	step.Run("stop: routing stays", func(t *testing.T) {
		r.run("/etc/init.d/pbr stop")
		if p := watch(); p != "" {
			t.Errorf("process %s goes on", p)
		}
		ask(t, conn, "after stop")
		r.run("pbr diff")
	})
	step.Run("boot: what a directory /run on flash has kept is gone", func(t *testing.T) {
		r.run("pbr flush && rm /run && cp -r /tmp/run /run && touch /run/pbr/kept && /etc/init.d/pbr enable && /etc/rc.d/S95pbr boot")
		r.settled()
		if r.exists("/run/pbr/kept") || !r.exists("/etc/rc.d/K10pbr") {
			t.Error("what was in /run/pbr is still there, or K10pbr is not")
		}
		dial(t, n.LANs["lan"]).Close()
	})
}

// newBusybox is a system of busybox alone.
func newBusybox(t *testing.T, h *lab.Host) *root {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	r := &root{Host: h, dir: t.TempDir()}
	for _, dir := range []string{"bin", "dev", "etc/init.d", "etc/pbr", "etc/rc.d", "proc", "sys", "tmp", "usr/bin", "usr/sbin", "sbin"} {
		if err := os.MkdirAll(filepath.Join(r.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("tmp", filepath.Join(r.dir, "var")); err != nil {
		t.Fatal(err)
	}
	r.put("/bin/busybox", readFile(t, busybox), 0o755)
	if out, err := exec.Command("chroot", r.dir, "/bin/busybox", "--install", "-s").CombinedOutput(); err != nil {
		t.Fatalf("busybox has to be linked statically: %v\n%s", err, out)
	}
	r.boot(t)
	return r
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
