// Package installed tries what users install, for real: the Debian package in small Debians made of
// their packages, and OpenWrt's service in a small system of busybox. Each has namespaces of its
// own, with real connections through them. `make test-package` builds what is tried; without it
// there is nothing to try.
package installed

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// packagesEnv names a directory with old.deb and new.deb, two versions of the package, and
// pbr-small, the program without what routers of little flash have no room for.
const packagesEnv = "PBR_PACKAGES"

func TestPackageBookworm(t *testing.T) { tryPackage(t, "bookworm") }
func TestPackageTrixie(t *testing.T)   { tryPackage(t, "trixie") }

func tryPackage(t *testing.T, suite string) {
	needPackages(t)
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
		isp.IP("addr add 1.1.1.1/32 dev lo", "addr add 9.9.9.9/32 dev lo") // what the checks of pbr init ask
	}
	n.Router.IP("route add default via 192.0.2.1 metric 100", "route add default via 198.51.100.1 metric 200")
	n.Router.Sysctl("net/ipv4/conf/wan1/rp_filter", "1")
	// Routes of link-local addresses come late.
	lab.WaitFor(t, "IPv6 addresses that may be used", func() bool { return n.Router.Run("ip", "-6", "addr", "show", "tentative") == "" })
	before := foreign(n.Router)

	r := newRoot(t, n.Router, suite)
	r.putPackage("old.deb", "old.deb")
	r.putPackage("new.deb", "new.deb")
	installed(t, r)
	if after := foreign(n.Router); after != before {
		t.Errorf("installation changes the network:\n%s\nbefore:\n%s", after, before)
	}

	r.run("pbr init >/etc/pbr/pbr.toml && pbr check && pbr apply --confirm 60s && pbr confirm && pbr diff")
	r.watch()
	conn := dial(t, n.LANs["lan"])
	ask(t, conn, "before an upgrade")
	replaced(t, r, conn, "new.deb")
	replaced(t, r, conn, "old.deb")
	replaced(t, r, conn, "new.deb")
	removed(t, r, conn)
	dial(t, n.LANs["lan"]).Close()
	purged(t, r)
	if after := foreign(n.Router); after != before {
		t.Errorf("after purge there is\n%s\nbefore the installation:\n%s", after, before)
	}
}

func needPackages(t *testing.T) {
	t.Helper()
	if os.Getenv(packagesEnv) == "" {
		t.Skip("make test-package builds the packages for this")
	}
}

// putPackage puts one of the packages into the root directory.
func (r *root) putPackage(name, as string) {
	r.T().Helper()
	b, err := os.ReadFile(filepath.Join(os.Getenv(packagesEnv), name))
	if err != nil {
		r.T().Fatal(err)
	}
	r.put("/"+as, string(b), 0o644)
}

// installed installs the old version: everything is in its place, and nothing was started.
func installed(t *testing.T, r *root) {
	t.Helper()
	out := r.run("apt-get install -y /old.deb 2>&1")
	if !strings.Contains(out, "nothing is started yet") {
		t.Errorf("installation says\n%s", out)
	}
	for _, name := range []string{
		"/usr/sbin/pbr", "/usr/lib/systemd/system/pbr.service", "/usr/lib/systemd/system/pbr-apply.service",
		"/usr/lib/systemd/networkd.conf.d/90-pbr.conf",
		"/usr/share/man/man8/pbr.8.gz", "/usr/share/man/man8/pbr-apply.8.gz", "/usr/share/man/man5/pbr.toml.5.gz",
		"/usr/share/bash-completion/completions/pbr", "/usr/share/doc/pbr/examples/dual-isp.toml", "/usr/share/doc/pbr/copyright",
	} {
		if !r.exists(name) {
			t.Errorf("%s is missing", name)
		}
	}
	if mode := r.run("stat -c %a /etc/pbr; ls -A /etc/pbr"); mode != "750\n" {
		t.Errorf("/etc/pbr: %s", mode)
	}
	if log := r.read("/systemctl.log"); log != "daemon-reload\n" {
		t.Errorf("on first installation systemctl was asked for\n%s", log)
	}
}

// replaced installs the other version while the watch runs, which may be a downgrade: its program
// takes over, and the connection does not notice.
func replaced(t *testing.T, r *root, conn *lab.Conn, by string) {
	t.Helper()
	version := r.run("pbr version")
	watch := r.read("/watch.pid")
	r.put("/systemctl.log", "", 0o644)
	r.run("apt-get install -y --allow-downgrades /" + by + " 2>&1")
	ask(t, conn, "right after the installation of "+by)
	r.settled()
	ask(t, conn, "after the installation of "+by)
	if r.run("pbr version") == version {
		t.Errorf("still %s", version)
	}
	if !strings.Contains(r.read("/systemctl.log"), "try-restart pbr.service") || r.read("/watch.pid") == watch {
		t.Errorf("the watch was not restarted:\n%s", r.read("/systemctl.log"))
	}
}

// routing shows what pbr has in force, but for counters, and for what only a running watch holds.
const routing = "nft list table inet pbr | grep -v counter | sed '/^\tset own-known/,/^\t}/d'; ip rule; ip route show table all proto 112"

// removed removes the package: routing stays and it says so.
func removed(t *testing.T, r *root, conn *lab.Conn) {
	t.Helper()
	live := r.run(routing)
	out := r.run("apt-get remove -y pbr 2>&1")
	if !strings.Contains(out, "routing stays as it is") || !strings.Contains(out, "/var/lib/pbr/purge") {
		t.Errorf("removal says\n%s", out)
	}
	ask(t, conn, "after removal")
	if after := r.run(routing); after != live {
		t.Errorf("removal changes routing:\n%s\nbefore:\n%s", after, live)
	}
	if r.exists("/usr/sbin/pbr") || !r.exists("/var/lib/pbr/purge") {
		t.Error("removal leaves the program, or nothing that a purge could do its work with")
	}
}

// purged purges the package: routing, rules, table, settings and state go.
func purged(t *testing.T, r *root) {
	t.Helper()
	r.run("apt-get purge -y pbr 2>&1")
	if out := r.run("nft list tables; ip rule | grep -v 'lookup \\(local\\|main\\|default\\)' || true; ip " +
		"route show table all proto 112; ip -6 route show table all proto 112"); out != "" {
		t.Errorf("purge leaves\n%s", out)
	}
	for _, name := range []string{"/var/lib/pbr", "/run/pbr", "/usr/share/doc/pbr"} {
		if r.exists(name) {
			t.Errorf("purge leaves %s", name)
		}
	}
	if !r.exists("/etc/pbr/pbr.toml") {
		t.Error("purge takes away the policy, which somebody wrote by hand")
	}
}

// foreign is what was there before.
func foreign(h *lab.Host) string {
	out := h.Run("nft", "list", "ruleset") + h.Run("ip", "rule") + h.Run("ip", "-6", "rule") + h.Run("ip", "-4",
		"route", "show", "table", "all") + h.Run("ip", "-6", "route", "show", "proto", "static")
	for _, path := range []string{"ip_forward", "fib_multipath_hash_policy", "conf/wan1/rp_filter",
		"conf/wan1/src_valid_mark", "conf/all/ignore_routes_with_linkdown"} {
		out += path + " " + h.ReadSysctl("net/ipv4/"+path) + "\n"
	}
	return out
}

// dial opens a connection from the LAN into the internet.
func dial(t *testing.T, h *lab.Host) *lab.Conn {
	t.Helper()
	conn, err := h.Dial("tcp", netip.Addr{}, netip.MustParseAddrPort("203.0.113.80:443"), lab.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, conn, "at its start")
	return conn
}

func ask(t *testing.T, conn *lab.Conn, when string) {
	t.Helper()
	if seen, err := conn.Ask(); err != nil || seen.By != "isp1" || seen.Src.Addr().Unmap().String() != "192.0.2.2" {
		t.Errorf("the connection %s: %+v, %v", when, seen, err)
	}
}
