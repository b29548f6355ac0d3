package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// likeNetworkd is what systemd-networkd does when it starts with ManageForeignRoutingPolicyRules
// and ManageForeignRoutes, its defaults: it removes the rules that the kernel did not make, and the
// routes that neither the kernel nor the boot nor a router's announcement made
// (manager_drop_foreign_rules, link_drop_foreign_routes).
const likeNetworkd = `
for family in -4 -6; do
	ip $family rule show | grep -Ev "^(0|32766|32767):" | sed 's/:.*//; s/^/rule del priority /' | ip $family -force -batch -
	ip $family -o route show table all proto 112 | sed 's/^/route del /; s/\\\\//g; s/$/ proto 112/' | ip $family -force -batch -
done
ip rule show; ip -6 rule show; ip route show table all proto 112; ip -6 route show table all proto 112
`

// What others remove is put back at once, once per command in the log, with who did it. That it
// waits for no more than a burst of changes to end is tested by a clock that no other program slows
// down, beside the loop itself.
func TestWatchDrift(t *testing.T) {
	t.Parallel()
	for _, attack := range []struct {
		name, command, who string
		commands           int
	}{
		{"firewall restart", "nft flush ruleset", "nft", 1},
		{"table deleted", "nft delete table inet pbr", "nft", 1},
		{"rules flushed", "ip rule flush; ip rule add priority 32766 lookup main; ip rule add priority 32767 lookup default", "ip", 2},
		{"routes deleted", "ip route flush table 112000; ip -6 route flush table 112000", "", 2},
		{"route replaced", "ip route replace default via 198.51.100.1 dev wan2 metric 1 table 112000", "", 1},
		{"networkd restart", likeNetworkd, "", 4},
	} {
		t.Run(attack.name, func(t *testing.T) {
			t.Parallel()
			w := startWatched(t, watchPolicy, 2)
			second := w.calls(3, bySecond, "isp2")
			before := w.router.ours()
			stream := w.lan.Stream(bySecond, farEnd, streamPace)
			w.waitAnswered(stream, "isp2")
			began := time.Now()
			w.Router.Run("sh", "-c", attack.command)
			lab.WaitFor(t, "the repair", func() bool { return diffLines(before, w.router.ours()) == "" })
			took := time.Since(began)
			w.logged("somebody else changed", attack.who)
			w.router.inSync()
			second.stillUp(attack.name)
			// On a busy machine the commands of one attack are far enough apart for a repair in
			// between.
			if n := strings.Count(w.log.text(), "somebody else changed"); n > attack.commands {
				t.Errorf("%d log lines for %d commands", n, attack.commands)
			}
			t.Logf("repaired after %v; stream: %v; 0 of 3 connections broke", took.Round(time.Millisecond), stream.Stop())
		})
	}
}

// anyRule is the priority of one of pbr's rules.
func (w *watched) anyRule() string {
	for line := range strings.Lines(w.Router.Run("ip", "rule", "show")) {
		if priority, _, _ := strings.Cut(line, ":"); strings.HasPrefix(priority, "10") {
			return priority
		}
	}
	w.t.Fatal("pbr has no rule")
	return ""
}

// enemy runs a shell command again and again until the test or stop ends it.
func (w *watched) enemy(command string) (stop func()) {
	enemy := w.Router.Command("sh", "-c", "while :; do "+command+"; done")
	enemy.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := w.Router.Start(enemy); err != nil {
		w.t.Fatal(err)
	}
	stop = sync.OnceFunc(func() { _ = syscall.Kill(-enemy.Process.Pid, syscall.SIGKILL); _ = enemy.Wait() })
	w.t.Cleanup(stop)
	return stop
}

// Somebody who continues and on is waited for longer and longer, and is not a reason to do anything
// else late, or to repair anything else late.
func TestWatchFight(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	rule := w.anyRule()
	stop := w.enemy("ip rule del priority " + rule + " 2>/dev/null; sleep 0.05")
	w.logged("somebody else changed", "next_repair_after=2s")
	repairs := strings.Count(w.log.text(), "somebody else changed")
	if repairs > 6 {
		t.Errorf("%d repairs within seconds", repairs)
	}
	w.Router.Run("nft", "delete", "table", "inet", "pbr")
	began := time.Now()
	lab.WaitFor(t, "the table", func() bool { return strings.Contains(w.Router.Run("nft", "list", "tables"), "inet pbr") })
	t.Logf("the table was back after %v", time.Since(began).Round(time.Millisecond))
	w.dead("isp1", "9.9.9.9")
	lab.WaitFor(t, "routes to follow", func() bool {
		return !strings.Contains(w.Router.Run("ip", "route", "show", "table", "112000"), "wan1")
	})
	stop()
	lab.WaitFor(t, "peace", func() bool { return w.router.pbr("diff").Code == 0 })
	t.Logf("%d repairs while it went on", repairs)
}

// The table is recreated at once, however often somebody deletes it; the log says so once a minute.
func TestWatchTableFight(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	stop := w.enemy("nft delete table inet pbr 2>/dev/null; sleep 0.3")
	for range 8 {
		lab.WaitFor(t, "the table to go", func() bool { return !strings.Contains(w.Router.Run("nft", "list", "tables"), "inet pbr") })
		lab.WaitFor(t, "the table", func() bool { return strings.Contains(w.Router.Run("nft", "list", "tables"), "inet pbr") })
	}
	stop()
	if n := strings.Count(w.log.text(), "somebody else changed"); n > 2 { // two if it took more than a minute
		t.Errorf("%d log lines", n)
	}
	lab.WaitFor(t, "peace", func() bool { return w.router.pbr("diff").Code == 0 })
}

// Lists that a storm of foreign changes of addresses interrupts are asked for again: rule and table
// come back as fast as ever.
func TestWatchUnderAddressChurn(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.Router.IP("link add churn type veth peer name churn-end", "link set churn up")
	batch := filepath.Join(t.TempDir(), "churn")
	var lines strings.Builder
	for _, verb := range []string{"add", "del"} {
		for i := range 5000 {
			fmt.Fprintf(&lines, "address %s 10.77.%d.%d/32 dev churn\n", verb, i>>8, i&255)
		}
	}
	if err := os.WriteFile(batch, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := w.enemy("ip -force -batch " + batch + " 2>/dev/null")
	rule := w.anyRule()
	var worst time.Duration
	for range 5 {
		w.Router.Run("ip", "rule", "del", "priority", rule)
		w.Router.Run("nft", "delete", "table", "inet", "pbr")
		began := time.Now()
		lab.WaitFor(t, "rule and table", func() bool {
			return strings.Contains(w.Router.Run("ip", "rule", "show"), rule+":") &&
				strings.Contains(w.Router.Run("nft", "list", "tables"), "inet pbr")
		})
		worst = max(worst, time.Since(began))
		time.Sleep(300 * time.Millisecond)
	}
	stop()
	t.Logf("rule and table were back after %v at most", worst.Round(time.Millisecond))
	if worst > 5*time.Second {
		t.Errorf("rule and table were back after %v", worst)
	}
	if line := w.logLine("does not hold the policy"); line != "" {
		t.Errorf("interrupted lists are failures: %s", line)
	}
}

// Others' own business is not drift, and costs nothing.
func TestWatchLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	w.router.occupy()
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	foreign := w.router.foreign()
	w.dead("isp1", "9.9.9.9")
	w.waitState("isp1", "down")
	w.alive("isp1", "9.9.9.9")
	w.waitState("isp1", "up")
	if d := diffLines(foreign, w.router.foreign()); d != "" {
		t.Errorf("others have now:\n%s", d)
	}
	w.Router.NFT("table inet mine { chain c { type filter hook forward priority 5; counter; }\n}\n")
	w.Router.IP("rule add priority 9000 from 10.1.2.3 lookup 55", "route add 10.9.0.0/24 dev wan1 table 55")
	w.dead("isp2", "9.9.9.9")
	w.waitState("isp2", "down")
	if line := w.logLine("somebody else changed"); line != "" {
		t.Errorf("it meddles: %s", line)
	}
}

// SIGHUP: a good file comes into force with the uplinks' health as it is, a broken one changes
// nothing and is explained.
func TestWatchReload(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.dead("isp1", "9.9.9.9")
	w.waitState("isp1", "down")
	w.waitArrives(byDefault, "isp2")
	second := w.calls(3, bySecond, "isp2")
	quiet := w.lan.Stream(bySecond, farEnd, streamPace)
	before := w.router.ours()

	step := steps.Of(t)
	step.Run("a broken file changes nothing", func(t *testing.T) {
		w.router.write(strings.Replace(watchPolicy, `table = "to-isp2"`, `table = "to-isp3"`, 1))
		w.hangUp()
		w.logged("reload failed", "to-isp3", `did you mean \"to-isp2\"`)
		if d := diffLines(before, w.router.ours()); d != "" {
			t.Errorf("a broken file changed something:\n%s", d)
		}
	})
	step.Run("an edit comes into force, and no connection notices", func(t *testing.T) {
		w.router.write(watchPolicy + "\n[[policy]]\nname = \"more\"\nsrc = \"192.168.10.10\"\ndport = 8888\nuplink = \"isp2\"\n")
		w.hangUp()
		w.logged("reloaded the policy")
		w.router.inSync()
		w.waitArrives(byDefault, "isp2")
		second.stillUp("reloads")
		tale := quiet.Stop()
		if tale.Lost() > 0 {
			t.Errorf("reloads: %v", tale)
		}
		t.Logf("stream through two reloads: %v; 0 of 3 connections broke", tale)
	})
	step.Run("flush beside a watch is refused", func(t *testing.T) {
		if res := w.router.pbr("flush"); res.Code != 1 || !strings.Contains(res.Stderr, fmt.Sprintf("process %d", w.cmd.Process.Pid)) {
			t.Errorf("pbr flush beside pbr watch: exit status %d, %s", res.Code, res.Stderr)
		}
	})
}
