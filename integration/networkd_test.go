package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pbr/integration/lab"
)

// networkdPath is where Debian and most others have it.
const networkdPath = "/lib/systemd/systemd-networkd"

// startNetworkd runs systemd-networkd with a /run of its own. It takes an interface into its hands
// when udev says that it is there, and udev says so by a file; without udev it would do so before
// it has heard of routes, and remove none.
const startNetworkd = `
set -e
mount -t sysfs sysfs /sys
mkdir -p /run/systemd /run/udev
mount --bind "$0/systemd" /run/systemd
mount --bind "$0/udev" /run/udev
mkdir -p /run/udev/data
for device in /sys/class/net/*/ifindex; do echo I:1 >/run/udev/data/n$(cat $device); done
exec ` + networkdPath

// networkd is systemd-networkd, in charge of a router's uplinks.
type networkd struct {
	*watched
	dir string
	cmd *exec.Cmd
	log *monitor
}

func newNetworkd(w *watched) *networkd {
	w.t.Helper()
	n := &networkd{watched: w, dir: w.t.TempDir(), log: &monitor{}}
	for _, dir := range []string{"systemd", "systemd/network", "systemd/networkd.conf.d", "udev"} {
		if err := os.Mkdir(filepath.Join(n.dir, dir), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, isp := range w.Spec.ISPs {
		n.write("network/"+isp.Iface+".network", fmt.Sprintf("[Match]\nName=%s\n[Network]\nAddress=%s\nAddress=%s\nIPv6AcceptRA=no\n",
			isp.Iface, isp.Router4, isp.Router6))
	}
	w.t.Cleanup(func() {
		n.stop()
		if w.t.Failed() {
			w.t.Logf("systemd-networkd said:\n%s", n.log.text())
		}
	})
	return n
}

// write writes a file below /run/systemd.
func (n *networkd) write(name, text string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, "systemd", name), []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// restart ends networkd, if it runs, starts it, and returns when it has configured the uplinks.
func (n *networkd) restart() {
	n.t.Helper()
	n.stop()
	n.log = &monitor{}
	n.cmd = n.Router.Command("unshare", "--mount", "sh", "-c", startNetworkd, n.dir)
	n.cmd.Env = append(os.Environ(), "SYSTEMD_LOG_LEVEL=debug")
	n.cmd.Stderr = n.log
	if err := n.Router.Start(n.cmd); err != nil {
		n.t.Fatalf("starting systemd-networkd: %v", err)
	}
	for _, isp := range n.Spec.ISPs {
		lab.WaitFor(n.t, "systemd-networkd to configure "+isp.Iface, func() bool {
			return strings.Contains(n.log.text(), isp.Iface+": State changed: configuring -> configured")
		})
	}
}

func (n *networkd) stop() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	_ = n.cmd.Wait()
	n.cmd = nil
}

// systemd-networkd, when it is restarted, removes what it does not know. pbr watch puts it back;
// with the two settings in networkd.conf there is nothing to put back.
func TestWatchNetworkd(t *testing.T) {
	t.Parallel()
	lab.NeedProgram(t, networkdPath)
	w := newWatched(t, watchPolicy, 2)
	n := newNetworkd(w)
	n.restart()
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	second := w.calls(3, bySecond, "isp2")
	before := w.router.ours()
	stream := w.lan.Stream(bySecond, farEnd, streamPace)
	w.waitAnswered(stream, "isp2")

	n.restart()
	for _, what := range []string{"Removing foreign route ", "Removing foreign routing policy rule "} {
		if !strings.Contains(n.log.text(), what) {
			t.Errorf("systemd-networkd did not say %q: this proves nothing", what)
		}
	}
	w.logged("somebody else changed")
	lab.WaitFor(t, "the repair", func() bool { return diffLines(before, w.router.ours()) == "" })
	w.router.inSync()
	second.stillUp("systemd-networkd restarted")
	t.Logf("stream: %v", stream.Stop())

	n.write("networkd.conf.d/pbr.conf", "[Network]\nManageForeignRoutingPolicyRules=no\nManageForeignRoutes=no\n")
	n.restart()
	if strings.Contains(n.log.text(), "Removing foreign rout") {
		t.Error("systemd-networkd removes what is not its own, against its settings")
	}
	w.router.inSync()
	second.stillUp("systemd-networkd restarted with pbr's settings")
}
