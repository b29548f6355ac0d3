package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// moreLater is watchPolicy with one more policy, by which the default host uses isp2.
const moreLater = watchPolicy + "\n[[policy]]\nname = \"more\"\nsrc = \"192.168.10.10\"\nuplink = \"isp2\"\n"

// other is another file with a policy, and its name.
func (w *watched) other(name, policy string) string {
	w.t.Helper()
	file := filepath.Join(filepath.Dir(w.router.file), name)
	if err := os.WriteFile(file, []byte(policy), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// statusSays waits until pbr status has all the words, on either output.
func (w *watched) statusSays(words ...string) {
	w.t.Helper()
	lab.WaitFor(w.t, fmt.Sprintf("pbr status to say %q", words), func() bool {
		res := w.router.pbr("status")
		for _, word := range words {
			if !strings.Contains(res.Stdout+res.Stderr, word) {
				return false
			}
		}
		return true
	})
}

// inForce fails the test unless the default host's connections take an uplink, and the kernel holds
// a policy.
func (w *watched) inForce(policy string, when string) {
	w.t.Helper()
	file := w.other("compare.toml", policy)
	if res := w.Router.Exec(pbrPath, "--config", file, "diff"); res.Code != 0 {
		w.t.Errorf("%s: pbr diff: exit status %d\n%s%s", when, res.Code, res.Stdout, res.Stderr)
	}
}

// Through a running watch apply takes any file, which is in force from then on: for HUP, and for a
// watch that is started again.
func TestApplyThroughWatch(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	apply := func(file string) lab.Result { return w.Router.Exec(pbrPath, "apply", "-c", file) }
	step := steps.Of(t)
	step.Run("what is in force is not sent again", func(t *testing.T) {
		res := w.router.pbr("apply")
		if says(t, res, 0); res.Stdout != "in sync: nothing sent\n" {
			t.Errorf("apply of what is in force: %s", res.Stdout)
		}
	})
	other := w.other("other.toml", moreLater)
	step.Run("another file is applied as without a watch", func(t *testing.T) {
		alone := w.Router.Exec(pbrPath, "-c", other, "diff").Code
		res := apply(other)
		if says(t, res, 0); alone != 2 || !strings.Contains(res.Stdout, "chains: ") {
			t.Errorf("apply of another file: %s", res.Stdout)
		}
		w.inForce(moreLater, "another file")
		w.waitArrives(byDefault, "isp2")
		w.statusSays(other, w.router.file)
	})

	step.Run("HUP reads the file that was applied last", func(t *testing.T) {
		w.other("other.toml", watchPolicy)
		w.hangUp()
		w.logged("reloaded the policy")
		w.inForce(watchPolicy, "HUP reads the file that was applied")
	})
	step.Run("a watch that starts again uses the file that was applied last", func(t *testing.T) {
		w.other("other.toml", moreLater)
		for _, end := range []func(){w.stop, w.kill} {
			end()
			w.start()
			w.waitState("isp2", "up")
			w.inForce(moreLater, "a watch that is started again")
		}
		w.logged("using "+other, "applied last")
	})

	step.Run("so does one whose file is gone, and a boot unit beside a watch changes nothing", func(t *testing.T) {
		says(t, w.router.pbr("apply", "--boot"), 0) // the boot unit, started again
		w.inForce(moreLater, "a boot unit beside a watch")
		if err := os.Remove(other); err != nil {
			t.Fatal(err)
		}
		w.stop()
		w.start()
		w.waitState("isp2", "up")
		w.inForce(moreLater, "a file that is gone, after a restart")
	})
	step.Run("a broken file changes nothing", func(t *testing.T) {
		broken := w.other("broken.toml", "uplink = 7\n")
		says(t, apply(broken), 1, "broken.toml:1:10: error")
		w.inForce(moreLater, "a broken file")
	})

	step.Run("a pipe can be applied, and outlives the watch, but cannot be read again", func(t *testing.T) {
		res := w.Router.Exec("bash", "-c", fmt.Sprintf("%s apply -c <(cat %s)", pbrPath, w.router.file))
		says(t, res, 0)
		w.inForce(watchPolicy, "a pipe")
		w.hangUp()
		w.logged("reload failed", "pipe")
		says(t, w.router.pbr("apply", "--reload"), 1, "came from a pipe")
		w.stop()
		w.start()
		w.waitState("isp2", "up")
		w.inForce(watchPolicy, "what came from a pipe, after a restart")
	})
	step.Run("the watch's own file again", func(t *testing.T) {
		says(t, apply(w.router.file), 0)
		w.hangUp()
		w.logged("reloaded the policy: the kernel already holds it")
	})
}

// A trial through a watch: one at a time, kept or undone on demand, and nothing is there to keep or
// undo without one.
func TestTrialThroughWatch(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	nothing := func() {
		t.Helper()
		for _, command := range []string{"confirm", "revert"} {
			says(t, w.router.pbr(command), 1, "nothing waits to be confirmed")
		}
		says(t, w.router.pbr("revert"), 1, "to remove all of pbr: systemctl stop pbr; pbr flush")
	}
	nothing()
	w.router.write(moreLater)
	says(t, w.router.pbr("apply", "--confirm", "60s"), 0, "undone at", "unless pbr confirm comes first")
	w.inForce(moreLater, "applied until confirmed")
	w.statusSays("waits to be confirmed until", "left")
	if res := w.router.pbr("doctor"); !strings.Contains(res.Stdout, "waits to be confirmed until") {
		t.Errorf("doctor: %s", res.Stdout)
	}
	w.router.write(watchPolicy)
	declines(t, w.router.pbr("apply"), "left)", "pbr confirm", "pbr revert")
	w.hangUp()
	w.logged("reload failed", "pbr revert")
	w.inForce(moreLater, "still applied until confirmed")
	says(t, w.router.pbr("confirm"), 0)
	nothing()

	says(t, w.router.pbr("apply", "--confirm", "60s"), 0)
	w.inForce(watchPolicy, "applied until confirmed")
	res := w.router.pbr("revert")
	if says(t, res, 0); !strings.Contains(res.Stdout, "chains: ") {
		t.Errorf("revert: %s", res.Stdout)
	}
	w.inForce(moreLater, "reverted")
	nothing()
}

// What was not confirmed is undone, and stays rejected for everybody but a person, until the file
// changes.
func TestRejectedPolicy(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.router.write(moreLater)
	reject := func() {
		t.Helper()
		says(t, w.router.pbr("apply", "--confirm", "1s"), 0)
		w.statusSays("pbr.toml was rejected at", "and is not in force")
		w.inForce(watchPolicy, "undone")
	}
	reject()
	if found := w.router.pbr("doctor").Stdout; !strings.Contains(found, "was rejected at") || strings.Contains(found, "pbr apply repairs") {
		t.Errorf("doctor says\n%s", found)
	}
	w.logged("was not confirmed in time")
	w.hangUp()
	w.logged("reload failed", "was rejected at")
	says(t, w.router.pbr("apply", "--reload"), 1, "was rejected at", "pbr apply")
	w.stop()
	w.start()
	w.waitState("isp2", "up")
	w.inForce(watchPolicy, "a watch that is started again")
	w.logged("was rejected at", "last confirmed policy")
	w.statusSays("was rejected at")

	says(t, w.router.pbr("apply"), 0) // a person may
	w.inForce(moreLater, "applied by a person")
	says(t, w.router.pbr("apply", "--reload"), 0)
	if res := w.router.pbr("status"); strings.Contains(res.Stderr+res.Stdout, "rejected") {
		t.Errorf("status of a policy in force: %s%s", res.Stdout, res.Stderr)
	}
	w.router.write(watchPolicy)
	w.router.must("apply")
	w.router.write(moreLater)
	reject()
	w.router.write(moreLater + "# edited\n")
	says(t, w.router.pbr("apply", "--reload"), 0)
	w.inForce(moreLater, "edited")
	w.router.write("uplink = 7\n")
	says(t, w.router.pbr("apply", "--reload"), 1, "error")
}

// waitUndone waits until nothing waits to be confirmed.
func (w *watched) waitUndone() {
	w.t.Helper()
	lab.WaitFor(w.t, "the undo", func() bool {
		_, err := os.Stat(filepath.Join(w.Router.StateDir(), "pending.json"))
		return os.IsNotExist(err)
	})
}

// A watch that ends during a trial, in whatever way, keeps its end when it is started again; and
// one that is not is no reason to keep it.
func TestTrialOutlivesWatch(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.router.write(moreLater)
	const limit = 6 * time.Second
	begin := time.Now()
	w.router.must("apply", "--confirm", limit.String())
	w.kill()
	w.start()
	w.waitState("isp2", "up")
	if time.Since(begin) < limit-time.Second {
		w.inForce(moreLater, "before the end")
		w.statusSays("waits to be confirmed")
	}
	w.logged("was not confirmed in time")
	if early := limit - time.Since(begin); early > 0 {
		t.Errorf("undone %v too early", early)
	}
	w.inForce(watchPolicy, "after the end")

	w.router.must("apply", "--confirm", "2s")
	w.kill()
	w.waitUndone()
	w.inForce(watchPolicy, "undone without a watch")
	w.start()
	w.waitState("isp2", "up")
	w.inForce(watchPolicy, "a watch after that")
	w.statusSays("was rejected at")

	// The same begun without a watch.
	w.stop()
	w.router.must("apply", "--confirm", "5s")
	w.start()
	w.waitState("isp2", "up")
	w.waitUndone()
	w.inForce(watchPolicy, "a trial that a watch took over")
}

// forgetBoot removes all that a reboot does.
func (w *watched) forgetBoot() {
	w.t.Helper()
	w.Router.Run("nft", "delete", "table", "inet", "pbr")
	for _, family := range []string{"-4", "-6"} {
		w.Router.Run("sh", "-c", fmt.Sprintf("ip %s rule flush protocol 112; ip %[1]s route flush table all protocol 112", family))
	}
	if err := os.RemoveAll(w.Router.StateDir()); err != nil {
		w.t.Fatal(err)
	}
}

// After a reboot a rejected file is not applied, but the last confirmed policy, with its lists
// as they were.
func TestRejectedAtBoot(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	list := w.other("friends.txt", "198.51.100.77\n")
	good := watchPolicy + "\n[lists]\nfriends = { file = \"friends.txt\" }\n[[policy]]\nname = \"friends\"\n" +
		"dst = \"@friends\"\nuplink = \"isp2\"\n"
	w.router.write(good)
	w.router.must("apply")
	w.router.write(moreLater)
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	w.router.must("apply", "--confirm", "60s")
	w.router.must("revert")
	for _, begin := range []func(){
		func() { says(t, w.router.pbr("apply", "--boot"), 0, "was rejected at", "last confirmed policy") },
		func() { w.start(); w.waitState("isp2", "up"); w.logged("was rejected at") },
	} {
		w.forgetBoot()
		begin()
		if text := w.Router.Run("nft", "list", "table", "inet", "pbr"); !strings.Contains(text, "198.51.100.77") ||
			strings.Contains(text, "192.168.10.10") {
			t.Errorf("not the last confirmed policy:\n%s", text)
		}
		w.statusSays("was rejected at")
	}
	step := steps.Of(t)
	step.Run("the note of what was rejected is root's alone", func(t *testing.T) {
		info, err := os.Stat(filepath.Join(w.Router.LastingDir(), "rejected.json"))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("the note of what was rejected: %v, %v", info, err)
		}
	})
	step.Run("flush takes the state directory away", func(t *testing.T) {
		w.stop()
		w.router.must("flush")
		if _, err := os.Stat(w.Router.LastingDir()); !os.IsNotExist(err) {
			t.Errorf("flush leaves the state directory: %v", err)
		}
	})
}

// Nothing in /run/pbr is for anybody but root, with a watch that has a metrics socket there, in a
// trial: no other user can hold the lock.
func TestRunIsForRootAlone(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	socket := filepath.Join(w.Router.StateDir(), "metrics")
	policy := watchPolicy + "[watch]\nmetrics = \"unix:" + socket + "\"\n"
	w.router.write(policy)
	w.start()
	w.waitState("isp2", "up")
	w.router.write(policy + "# edited\n")
	w.router.must("apply", "--confirm", "60s")
	found := 0
	for _, top := range []string{"/run/pbr", w.Router.StateDir(), w.Router.LastingDir()} {
		err := filepath.Walk(top, func(path string, info os.FileInfo, err error) error {
			if path == socket || err != nil && top == "/run/pbr" {
				return nil // what the policy asks for; other tests end
			}
			if top == "/run/pbr" && path != top {
				return filepath.SkipDir
			}
			if found++; err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if found < 10 {
		t.Errorf("only %d files were looked at", found)
	}
	lock := filepath.Join(w.Router.StateDir(), "lock")
	if res := w.Router.Exec("setpriv", "--reuid", "65534", "--clear-groups", "flock", "-n", lock,
		"true"); res.Code == 0 || !strings.Contains(res.Stderr, "ermission denied") {
		t.Errorf("another user holds the lock: exit status %d, %s", res.Code, res.Stderr)
	}
	w.router.must("revert")
}

// holdLock has another process hold the lock for some time.
func (r *router) holdLock(seconds string) {
	r.T().Helper()
	cmd := r.Command("flock", filepath.Join(r.StateDir(), "lock"), "sh", "-c", "echo held; exec sleep "+seconds)
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.T().Fatal(err)
	}
	if err := r.Start(cmd); err != nil {
		r.T().Fatal(err)
	}
	r.T().Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := out.Read(make([]byte, 8)); err != nil {
		r.T().Fatal(err)
	}
}

// A command waits for another one, says so, and acts on the policy and the machine as they are when
// its turn has come.
func TestCommandsWaitForTheLock(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.apply(twoUplinks)
	r.IP("link set wan2 down")
	r.holdLock("4")
	says(t, r.pbr("apply", "--lock-wait", "0s"), 1, "another pbr is at work", "--lock-wait")
	time.AfterFunc(2*time.Second, func() {
		r.IP("link set wan2 up")
		r.IP("route replace default via 192.0.2.1")
		_ = os.WriteFile(r.file, []byte(twoUplinks+oneMorePolicy), 0o644)
	})
	says(t, r.pbr("apply"), 0, "waiting up to 30s for it to end")
	r.inSync()
	if text := r.Run("nft", "list", "table", "inet", "pbr"); !strings.Contains(text, "192.168.10.12") {
		t.Error("the edit made while apply waited is not in force")
	}
	for _, args := range [][]string{{"confirm"}, {"revert"}, {"uplink", "isp1", "auto"}, {"flush"}} {
		r.holdLock("1.5")
		if res := r.pbr(args...); !strings.Contains(res.Stderr, "waiting up to 30s") || strings.Contains(res.Stderr, "run pbr") {
			t.Errorf("pbr %v: exit status %d, %s", args, res.Code, res.Stderr)
		}
	}
}

// Fifty applies that fifty events of links start all succeed, and the kernel is in sync at the end.
func TestFiftyAppliesAtOnce(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.apply(twoUplinks)
	codes := make(chan lab.Result, 50)
	for i := range cap(codes) {
		if i%2 == 0 {
			r.IP("link set wan2 down")
		} else {
			r.IP("link set wan2 up")
		}
		go func() { codes <- r.pbr("apply", "--lock-wait", "300s") }()
	}
	for range cap(codes) {
		if res := <-codes; res.Code != 0 {
			t.Errorf("exit status %d, %s", res.Code, res.Stderr)
		}
	}
	r.inSync()
}

// Printing that fails takes no undo away.
func TestTrialWithoutRoomForItsReport(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	res := c.Exec("sh", "-c", fmt.Sprintf("%s --config %s apply --confirm 2s --json >/dev/full", pbrPath, c.file))
	if res.Code != 1 || !strings.Contains(res.Stderr, "no space left") {
		t.Errorf("exit status %d, %s", res.Code, res.Stderr)
	}
	c.is(c.next, "applied")
	c.becomesOld()
	if err := syscall.Access(filepath.Join(c.StateDir(), "pending.json"), 0); err == nil {
		t.Error("it still waits")
	}
}

// The undo of a trial waits for the lock without limit.
func TestUndoWaitsForTheLock(t *testing.T) {
	t.Parallel()
	c := newConfirmCase(t)
	c.must("apply", "--confirm", confirmTime.String())
	c.holdLock("4")
	time.Sleep(2 * confirmTime) // its time is over, and somebody has the lock
	c.is(c.next, "while another one has the lock")
	c.becomesOld()
}
