package boot

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"pbr/integration/lab"
)

// running is a connection through the first provider.
type running struct {
	g    *guest
	conn *lab.Conn
}

func (g *guest) dial() *running {
	g.t.Helper()
	r := &running{g: g}
	if !lab.Eventually(10*time.Second, func() (ok bool) {
		var err error
		r.conn, err = g.n.LANs["lan"].Dial("tcp", anybody, farEnd, lab.DialOptions{})
		return err == nil
	}) {
		g.t.Fatal("no connection into the internet")
	}
	r.goesOn("at its start")
	return r
}

// goesOn holds that the connection still works, and by the same way. An emulated router may be
// late: an answer to an earlier question is as good.
func (r *running) goesOn(when string) {
	r.g.t.Helper()
	var seen lab.Seen
	var err error
	if !lab.Eventually(10*time.Second, func() bool { seen, err = r.conn.Ask(); return err == nil }) || seen.By != "isp1" {
		r.g.t.Errorf("the connection %s: %+v, %v", when, seen, err)
	}
}

// show is a property of a unit.
func (g *guest) show(unit, property string) string {
	g.t.Helper()
	return strings.TrimSpace(g.run(fmt.Sprintf("systemctl show -P %s %s", property, unit)))
}

// restarts: both units again and again, one beside the other, below a running connection.
func (g *guest) restarts() {
	g.t.Helper()
	conn := g.dial()
	for _, command := range []string{"systemctl restart pbr-apply", "systemctl reload pbr-apply",
		"systemctl restart pbr", "systemctl reload pbr", "systemctl restart pbr-apply"} {
		g.run(command)
		g.run("systemctl is-active pbr && systemctl is-active pbr-apply")
		conn.goesOn("after " + command)
	}
	g.watched()
	g.routed("after restarts")
	g.run("systemctl stop pbr-apply")
	if failed := g.run("systemctl --failed --plain --no-legend"); failed != "" {
		g.t.Errorf("after a stop: %s", failed)
	}
}

// brokenPolicy: the start fails, once, and says why; what was in force stays. The corrected file is
// started like any other.
func (g *guest) brokenPolicy() {
	g.t.Helper()
	conn := g.dial()
	g.run("cp /etc/pbr/pbr.toml /root/right.toml && echo 'uplink = 7' >>/etc/pbr/pbr.toml")
	if a := g.try("systemctl reload pbr"); a.Code == 0 {
		g.t.Error("systemctl reload takes a broken policy")
	}
	g.run("systemctl is-active pbr")
	if a := g.try("systemctl restart pbr"); a.Code == 0 {
		g.t.Error("systemctl restart takes a broken policy")
	}
	time.Sleep(5 * time.Second) // systemd would start it again after one
	if state, n := g.show("pbr", "ActiveState"), g.show("pbr", "NRestarts"); state != "failed" || n != "0" {
		g.t.Errorf("with a broken policy pbr.service is %s after %s restarts", state, n)
	}
	if log := g.run("journalctl -u pbr -n 20 --no-pager -o cat"); !strings.Contains(log, "uplink") || !strings.Contains(log, "pbr.toml:") {
		g.t.Errorf("the journal does not say what is wrong:\n%s", log)
	}
	conn.goesOn("beside a broken policy")
	g.run("cp /root/right.toml /etc/pbr/pbr.toml && systemctl restart pbr")
	// Any other end is no reason to stay away.
	g.run("systemctl kill --signal=KILL pbr")
	g.wait("a restart after a crash", `[ "$(systemctl show -P NRestarts pbr)" = 1 ] && systemctl -q is-active pbr`)
	g.watched()
	conn.goesOn("after a crash")
	g.routed("after a crash")
}

// slowLimit is what a start may take without a sign of life, in slowStart.
const slowLimit = 20 * time.Second

// slowStart: a start that takes longer than the unit's limit, on a processor that is slow enough
// for that, succeeds; and a stop in its middle is obeyed.
func (g *guest) slowStart() {
	g.t.Helper()
	// Enough to read and to compile that loading the program is the smaller part.
	g.run(`awk 'BEGIN { for (i = 0; i < 50000; i++) printf "10.%d.%d.%d\n", i / 16384, i / 64 % 256, i * 4 % 256 }' >/etc/pbr/big.txt
		cp /etc/pbr/pbr.toml /root/right.toml
		printf '%s\n' '[lists]' 'big = { file = "/etc/pbr/big.txt" }' '[[policy]]' 'name = "big"' 'dst = "@big"' \
			'uplink = "isp2"' 'strict = true' >>/etc/pbr/pbr.toml
		pbr check`)
	for _, unit := range []string{"pbr", "pbr-apply"} {
		g.run("systemctl stop pbr pbr-apply; systemctl start " + unit)
		used, err := strconv.ParseInt(g.show(unit, "CPUUsageNSec"), 10, 64)
		if err != nil {
			g.t.Fatal(err)
		}
		dropIn := fmt.Sprintf("/run/systemd/system/%s.service.d/slow.conf", unit)
		g.slower(unit, dropIn, float64(used)/float64(2*slowLimit))
		g.run("systemctl stop " + unit + " && systemctl --no-block start " + unit + " && sleep 1")
		began := time.Now()
		g.run("systemctl stop " + unit)
		if took := time.Since(began); took > slowLimit {
			g.t.Errorf("a stop of the starting %s takes %v", unit, took)
		}
		if result := g.show(unit, "Result"); result != "success" {
			g.t.Errorf("the stop of the starting %s: %s\n%s", unit, result, g.run("journalctl --no-pager -n 20 -u "+unit))
		}
		g.run("rm " + dropIn + "; systemctl daemon-reload")
	}
	g.run("cp /root/right.toml /etc/pbr/pbr.toml; systemctl start pbr")
	g.watched()
	g.routed("after slow starts")
}

// slower starts a unit with less and less of a processor, until a start takes longer than the limit
// and succeeds: where nobody asked for more time none could. With too little even the first sign of
// life, which the program gives when it is loaded, would be late.
func (g *guest) slower(unit, dropIn string, share float64) {
	g.t.Helper()
	for range 6 {
		g.put(dropIn, fmt.Sprintf("[Service]\nTimeoutStartSec=%d\nCPUQuota=%.2f%%\nCPUQuotaPeriodSec=1s\n",
			int(slowLimit.Seconds()), 100*share))
		g.run("systemctl daemon-reload; systemctl stop " + unit)
		began := time.Now()
		a := g.try("systemctl start " + unit)
		took := time.Since(began)
		g.t.Logf("%s with %.2f%% of a processor: exit status %d after %.0f s", unit, 100*share, a.Code, took.Seconds())
		switch {
		case a.Code == 0 && took > slowLimit:
			return
		case a.Code == 0:
			share /= 1.7
		default:
			share *= 1.4
		}
	}
	g.t.Errorf("no start of %s that took longer than %v succeeded\n%s", unit, slowLimit, g.run("journalctl --no-pager -n 40 -u "+unit))
}

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// sandbox: systemd finds nothing wrong, and doctor finds what it finds outside.
func (g *guest) sandbox() {
	g.t.Helper()
	if out := g.run("systemd-analyze verify --man=no pbr.service pbr-apply.service pbr-dnsmasq.service pbr-dnsmasq.path 2>&1"); out != "" {
		g.t.Errorf("systemd-analyze verify says\n%s", out)
	}
	for _, unit := range []string{"pbr.service", "pbr-apply.service"} {
		out := g.run("systemd-analyze security --no-pager " + unit + " 2>&1")
		m := exposure.FindStringSubmatch(out)
		if m == nil {
			g.t.Fatalf("systemd-analyze security says\n%s", out)
		}
		if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > 2.8 {
			g.t.Errorf("the exposure of %s is %s", unit, m[1])
		}
	}
	outside := g.run("pbr doctor")
	inside := g.run("systemd-run --pipe --wait --quiet " + sandboxOf(g.run("cat /usr/lib/systemd/system/pbr.service")) +
		" /usr/sbin/pbr doctor")
	// It tries features in a network namespace, which the unit may not make.
	if !strings.Contains(inside, "kernel features") || !strings.Contains(inside, "run pbr doctor in a shell") {
		g.t.Errorf("in the unit's sandbox doctor does not say what it cannot look at:\n%s", inside)
	}
	if in, out := settingsOn(inside), settingsOn(outside); in != out {
		g.t.Errorf("in the unit's sandbox doctor says\n%s\noutside\n%s", in, out)
	}
}

var latency = regexp.MustCompile(`answers in [0-9.]+[µm]?s`)

// settingsOn is what doctor says of all but the kernel's features, which the sandbox keeps it from
// trying; without how fast gateways answer, and the sum.
func settingsOn(text string) string {
	_, text, _ = strings.Cut(text, "\nsettings\n")
	if i := strings.LastIndex(strings.TrimSpace(text), "\n"); i >= 0 {
		text = text[:i]
	}
	return latency.ReplaceAllString(text, "answers")
}

// sandboxOf are the restrictions of a unit, as options of systemd-run.
func sandboxOf(unit string) string {
	var out []string
	_, service, _ := strings.Cut(unit, "[Service]\n")
	service, _, _ = strings.Cut(service, "[Install]")
	for line := range strings.Lines(service) {
		line = strings.TrimSpace(line)
		key, _, set := strings.Cut(line, "=")
		if !set || strings.HasPrefix(line, "#") {
			continue
		}
		switch key {
		case "Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus", "WatchdogSec",
			"TimeoutStartSec", "TimeoutStopSec", "KillMode", "RuntimeDirectoryPreserve":
		default:
			out = append(out, "-p '"+line+"'")
		}
	}
	return strings.Join(append(out, "-p RuntimeDirectoryPreserve=yes"), " ")
}

// upgrade: the watch goes on with the new program, and a running connection does not notice.
func (g *guest) upgrade() {
	g.t.Helper()
	conn := g.dial()
	pid, version := g.show("pbr", "MainPID"), g.run("pbr version")
	g.run("apt-get install -y /run/share/new.deb 2>&1")
	conn.goesOn("right after the upgrade")
	g.watched()
	conn.goesOn("after the upgrade")
	if after := g.show("pbr", "MainPID"); after == pid || g.run("pbr version") == version {
		g.t.Errorf("after the upgrade process %s (before: %s) is %s", after, pid, version)
	}
	g.routed("after the upgrade")
}

// purge: nothing is left but the policy.
func (g *guest) purge() {
	g.t.Helper()
	conn := g.dial()
	g.run("apt-get remove -y pbr 2>&1")
	conn.goesOn("after removal")
	g.run("apt-get purge -y pbr 2>&1")
	if out := g.run("nft list tables; ip route show table all proto 112; ip rule | grep -v 'lookup " +
		"\\(local\\|main\\|default\\)' || true; ls -d /var/lib/pbr /run/pbr 2>/dev/null || true"); out != "" {
		g.t.Errorf("purge leaves\n%s", out)
	}
	if out := g.run("systemctl daemon-reload; systemctl list-unit-files --no-legend 'pbr*'; systemctl " +
		"--failed --plain --no-legend"); out != "" {
		g.t.Errorf("purge leaves units:\n%s", out)
	}
}
