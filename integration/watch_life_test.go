package integration

import (
	"fmt"
	"math/rand/v2"
	"net"
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

func (w *watched) hangUp() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		w.t.Fatal(err)
	}
}

// Killed at any moment and started again, with one provider down: no packet is lost, no connection
// breaks, and nothing is sent to the kernel.
func TestWatchKilled(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.dead("isp1", "9.9.9.9")
	w.waitState("isp1", "down")
	w.waitArrives(byDefault, "isp2")
	running := w.calls(5, byDefault, "isp2")
	stream := w.lan.Stream(byDefault, farEnd, streamPace)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	before := w.router.ours()
	const kills = 8
	for range kills {
		w.kill()
		w.start()
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // the point is that it is any moment
	}
	w.waitState("isp1", "down")
	w.stop()
	w.start()
	w.waitState("isp1", "down")
	tale := stream.Stop()
	if tale.Lost() > 0 || tale.By["isp1"] > 0 {
		t.Errorf("seed %d: %v", seed, tale)
	}
	running.stillUp(fmt.Sprintf("seed %d: killed", seed))
	if d := diffLines(before, w.router.ours()); d != "" {
		t.Errorf("seed %d: the kernel's state changed:\n%s", seed, d)
	}
	w.alive("isp1", "9.9.9.9")
	w.waitArrives(byDefault, "isp1")
	t.Logf("killed %d times: %v; 0 of 5 connections broke", kills, tale)
}

// Killed right in a failover, the next run completes it.
func TestWatchKilledInAFailover(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	for i := range 6 {
		w.waitArrives(byDefault, "isp1")
		first := w.calls(2, byDefault, "isp1")
		w.dead("isp1", "9.9.9.9")
		time.Sleep(time.Duration(100+20*i) * time.Millisecond) // around the moment of the verdict
		w.kill()
		w.start()
		w.waitState("isp1", "down")
		w.waitArrives(byDefault, "isp2")
		if n := first.broken(); n != 2 {
			t.Errorf("kill %d: %d of 2 connections by the dead provider were flushed", i, n)
		}
		w.router.inSync()
		w.kill()
		// What is up again was never down for a run that knows nothing.
		if err := os.Remove(filepath.Join(w.Router.StateDir(), "health.json")); err != nil {
			t.Fatal(err)
		}
		w.alive("isp1", "9.9.9.9")
		w.start()
		w.waitState("isp1", "up")
	}
}

// pbr uplink takes one out of use and back, survives a restart, and is for root alone.
func TestWatchForce(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	second := w.calls(3, bySecond, "isp2")
	first := w.calls(3, byDefault, "isp1")
	step := steps.Of(t)
	step.Run("ordered down: its connections are flushed, new ones go elsewhere", func(t *testing.T) {
		w.router.must("uplink", "isp1", "down")
		if isp := w.arrives(byDefault); isp != "isp2" {
			t.Errorf("isp1 taken out of use: a new connection arrives at %q", isp)
		}
		if n := first.broken(); n != 3 {
			t.Errorf("isp1 taken out of use: %d of 3 connections by it were flushed", n)
		}
		if s, code := w.status(); code != 3 || s.Uplinks[0].State != "forced-down" || s.Uplinks[0].Usable {
			t.Errorf("status: exit status %d, %+v", code, s.Uplinks[0])
		}
	})
	step.Run("an order outlives the watch", func(t *testing.T) {
		w.kill()
		w.start()
		w.waitState("isp1", "forced-down")
		if isp := w.arrives(byDefault); isp != "isp2" {
			t.Errorf("after a restart: a new connection arrives at %q", isp)
		}
	})
	step.Run("revoked", func(t *testing.T) {
		w.router.must("uplink", "isp1", "auto")
		w.waitState("isp1", "up")
		w.waitArrives(byDefault, "isp1")
	})

	step.Run("ordered up: it is used although it is dead", func(t *testing.T) {
		w.dead("isp1", "9.9.9.9")
		w.waitState("isp1", "down")
		w.router.must("uplink", "isp1", "up")
		if isp := w.arrives(byDefault); isp != "isp1" {
			t.Errorf("isp1 up by force: a new connection arrives at %q", isp)
		}
		second.stillUp("isp1 forced")
		t.Log("connections broken: 3 of the uplink that was taken out of use, 0 of 3 others")
	})

	for _, wrong := range [][]string{{"uplink"}, {"uplink", "isp1"}, {"uplink", "isp1", "sideways"}, {"uplink", "isp9", "down"}} {
		t.Run(strings.Join(wrong, " "), func(t *testing.T) {
			if res := w.router.pbr(wrong...); res.Code != 1 || res.Stdout != "" || res.Stderr == "" {
				t.Errorf("pbr %v: exit status %d, %q, %q", wrong, res.Code, res.Stdout, res.Stderr)
			}
		})
	}
	step.Run("the control socket is root's alone", func(t *testing.T) {
		if info, err := os.Stat(w.socket()); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the control socket: %v, %v", info, err)
		}
	})
	step.Run("without a watch orders are shown, and can be revoked", func(t *testing.T) {
		w.stop()
		if s, code := w.status(); code != 0 || s.Uplinks[0].State != "forced-up" {
			t.Errorf("status without a watch: exit status %d, %+v", code, s)
		}
		says(t, w.router.pbr("uplink", "isp1", "auto"), 0, "not running")
		if s, code := w.status(); s.Watch != nil || code != 0 || s.Uplinks[0].State != "unchecked" || len(s.Tables) != 3 {
			t.Errorf("status without a watch: exit status %d, %+v", code, s)
		}
	})
}

// Status tells of health, routes and connections, as text and as JSON.
func TestWatchStatus(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.Router.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	second := w.calls(4, bySecond, "isp2")
	s, code := w.status()
	step := steps.Of(t)
	step.Run("the watch's process", func(t *testing.T) {
		if code != 0 || s.Watch == nil || s.Watch.PID != w.cmd.Process.Pid {
			t.Errorf("exit status %d, %+v", code, s.Watch)
		}
	})
	step.Run("an uplink's numbers", func(t *testing.T) {
		two := s.Uplinks[1]
		if two.Name != "isp2" || two.Interface != "wan2" || two.RTT <= 0 || two.Loss != 0 || two.Connections < 4 || two.LastFailure != "" {
			t.Errorf("%+v", two)
		}
	})
	step.Run("tables and their uplinks", func(t *testing.T) {
		for i, want := range []string{"to-isp2 [isp2]", "only-isp2 [isp2]", "default [isp1]"} {
			if got := fmt.Sprint(s.Tables[i].Name, " ", s.Tables[i].Active[0].Uplinks); got != want {
				t.Errorf("table %d is %s, not %s", i, got, want)
			}
		}
	})
	again := &monitor{}
	cmd := w.Router.Command(pbrPath, "--config", w.router.file, "status", "--watch")
	cmd.Stdout = again
	if err := w.Router.Start(cmd); err != nil {
		t.Fatal(err)
	}
	shows := func(t *testing.T, pattern string) {
		t.Helper()
		lab.WaitFor(t, "pbr status --watch to show "+pattern, func() bool { return matches(pattern, again.text()) })
	}
	step.Run("status --watch follows", func(t *testing.T) {
		shows(t, `isp2 +wan2 +up`)
		w.dead("isp2", "9.9.9.9")
		w.waitState("isp2", "down")
		shows(t, `isp2 +wan2 +down`)
		_ = cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("pbr status --watch ended with %v", err)
		}
	})
	step.Run("what died is shown, with the reason and the exit status", func(t *testing.T) {
		res := w.router.pbr("status")
		for _, words := range []string{"isp2 +wan2 +down", "no answer within 300ms", `only-isp2 +IPv4 +unreachable`,
			`to-isp2 +IPv4 +isp1 via 192.0.2.1, distance 2`, `\(unmarked\)`} {
			if !matches(words, res.Stdout) {
				t.Errorf("pbr status does not show %q:\n%s", words, res.Stdout)
			}
		}
		if res.Code != 3 {
			t.Errorf("exit status %d", res.Code)
		}
		if n := second.broken(); n != 4 {
			t.Errorf("%d of 4 were flushed", n)
		}
	})
}

// The hook is reported each event, in order, and one that hangs or fails holds up nothing.
func TestWatchHook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hook, told := filepath.Join(dir, "hook"), filepath.Join(dir, "told")
	script := fmt.Sprintf("#!/bin/sh\necho $PBR_EVENT $PBR_UPLINK $PBR_INTERFACE $PBR_FROM $PBR_TO "+
		"$PBR_TIME \"$PBR_REASON\" >> %s\ncase $PBR_EVENT-$PBR_UPLINK in down-isp2) sleep 100;; esac\nexit 3\n", told)
	if err := os.WriteFile(hook, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w := startWatched(t, watchPolicy+"[watch]\nhook = \""+hook+"\"\n", 2)
	read := func() string {
		b, _ := os.ReadFile(told)
		return string(b)
	}
	w.dead("isp2", "9.9.9.9")
	lab.WaitFor(t, "the hook that hangs", func() bool { return strings.Contains(read(), "down isp2 wan2 up down 20") })
	w.dead("isp1", "9.9.9.9")
	w.waitState("isp1", "down")
	w.alive("isp1", "9.9.9.9")
	w.waitState("isp1", "up")
	lab.WaitFor(t, "the hook", func() bool { return strings.Contains(read(), "up isp1 wan1 down up 20") })
	var ofFirst []string
	for _, line := range strings.Split(read(), "\n") {
		if f := strings.Fields(line); len(f) > 4 && f[1] == "isp1" {
			ofFirst = append(ofFirst, f[0]+" "+f[3]+" "+f[4])
		}
	}
	if got := strings.Join(ofFirst, ", "); got != "change start up, down up down, up down up" {
		t.Errorf("of isp1 the hook was told %s", got)
	}
	w.logged("hook", "exit status 3")
}

// Metrics are served where the policy says, and elsewhere after a reload.
func TestWatchMetrics(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metrics")
	w := startWatched(t, watchPolicy+"[watch]\nmetrics = \"127.0.0.1:9811\"\nlog = \"json\"\n", 2)
	w.logged(`"msg":"uplink isp1: up"`, `"to":"up"`)
	w.dial(bySecond)
	got := w.metrics("127.0.0.1:9811")
	for _, sample := range []string{`pbr_uplink_usable{uplink="isp2",version="4"} 1`,
		`pbr_policy_hits_total{policy="second"} 1`, `pbr_uplink_connections{uplink="isp2"} `,
		`pbr_table_active{table="default",uplink="isp1",version="4"} 1`,
		`pbr_table_active{table="to-isp2",uplink="isp2",version="6"} 1`, "pbr_policy_applied_time_seconds "} {
		if !strings.Contains(got, sample) {
			t.Errorf("no %s in the metrics:\n%s", sample, got)
		}
	}
	w.router.write(watchPolicy + "[watch]\nmetrics = \"unix:" + path + "\"\n")
	w.hangUp()
	w.logged("msg=", "reloaded")
	lab.WaitFor(t, "the reload to be counted", func() bool {
		return strings.Contains(httpGet(t, "unix", path), `pbr_reloads_total{result="ok"} 1`)
	})
	if conn, err := w.dialRouter("127.0.0.1:9811"); err == nil {
		_ = conn.Close()
		t.Error("the former address is still served")
	}
}

// The service manager is told when it is ready, reloads, ends, and that it is alive.
func TestWatchTellsTheServiceManager(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var told strings.Builder
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			told.Write(append(buf[:n], '\n'))
			mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = conn.Close() })
	hears := func(words string) {
		t.Helper()
		lab.WaitFor(t, "the service manager to hear "+words, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(told.String(), words)
		})
	}
	w := newWatched(t, watchPolicy, 2)
	w.env = []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=200000"}
	w.start()
	hears("READY=1\nSTATUS=2 uplinks in use")
	hears("WATCHDOG=1")
	w.dead("isp2", "9.9.9.9")
	hears("STATUS=1 uplinks in use, 1 not: isp2 (down)")
	w.hangUp()
	hears("RELOADING=1\nMONOTONIC_USEC=")
	w.stop()
	hears("STOPPING=1")
}

// A watch that cannot start says why, and leaves nothing behind.
func TestWatchRefuses(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	step := steps.Of(t)
	step.Run("a broken policy", func(t *testing.T) {
		w.router.write(strings.Replace(watchPolicy, "isp2\"\ninterface", "isp2\"\ninterfase", 1))
		if res := w.router.pbr("watch"); res.Code != 1 || !strings.Contains(res.Stderr, "interfase") {
			t.Errorf("a broken policy: exit status %d, %s", res.Code, res.Stderr)
		}
	})
	step.Run("an apply that waits to be confirmed", func(t *testing.T) {
		w.router.write(watchPolicy)
		w.router.must("apply", "--confirm", "60s")
		if res := w.router.pbr("watch"); res.Code != 1 || !strings.Contains(res.Stderr, "confirm") {
			t.Errorf("with an apply to be confirmed: exit status %d, %s", res.Code, res.Stderr)
		}
	})
	step.Run("somebody else's rule among its own", func(t *testing.T) {
		w.router.must("confirm")
		w.router.must("flush")
		w.Router.IP("rule add priority 10500 from 10.1.1.1 lookup 77")
		if res := w.router.pbr("watch"); res.Code != 1 || !strings.Contains(res.Stderr, "10500") {
			t.Errorf("with somebody else's rule: exit status %d, %s", res.Code, res.Stderr)
		}
	})
}
