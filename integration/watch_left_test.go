package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// says fails the test unless a result has that exit status and all the words on standard error.
func says(t *testing.T, res lab.Result, code int, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(res.Stderr, word) {
			t.Errorf("no %q on standard error:\n%s", word, res.Stderr)
		}
	}
	if res.Code != code {
		t.Errorf("exit status %d, not %d\n%s%s", res.Code, code, res.Stdout, res.Stderr)
	}
}

// What the administrator took out of use stays out of use without a watch: for apply, diff, status,
// and an undone apply.
func TestForcedWithoutWatch(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.router.must("uplink", "isp1", "down")
	says(t, w.router.pbr("uplink", "isp2", "down"), 0, "isp2 is the last one of table default")
	w.router.must("uplink", "isp2", "auto")
	w.router.inSync()
	w.kill()
	w.start()
	w.router.inSync()
	w.stop()
	out := func(when string) {
		t.Helper()
		if isp := w.arrives(byDefault); isp != "isp2" {
			t.Errorf("%s: a new connection arrives at %q", when, isp)
		}
		if s, code := w.status(); code != 3 || s.Watch != nil || s.Uplinks[0].State != "forced-down" || s.Uplinks[0].Usable {
			t.Errorf("%s: status: exit status %d, %+v", when, code, s.Uplinks[0])
		}
	}
	out("pbr watch has ended")
	says(t, w.router.pbr("diff"), 0, "uplink isp1 is not used: it was forced down", "pbr uplink isp1 auto")
	says(t, w.router.pbr("apply"), 0, "uplink isp1 is not used: it was forced down")
	out("apply")
	w.router.write(strings.Replace(watchPolicy, "192.168.10.12", "192.168.10.13", 1))
	w.router.must("apply", "--confirm", "1s")
	out("apply --confirm")
	w.router.write(watchPolicy)
	lab.WaitFor(t, "the undoing", func() bool { return w.router.pbr("diff").Code == 0 })
	out("undone")
}

// Without a watch pbr uplink does it itself, and never brings anything else into force.
func TestUplinkWithoutWatch(t *testing.T) {
	t.Parallel()
	// Offloaded connections are flushed, but not counted.
	watchPolicy := "[pbr]\noffload = \"off\"\n" + watchPolicy
	w := newWatched(t, watchPolicy, 2)
	w.router.must("apply")
	first := w.calls(3, byDefault, "isp1")
	second := w.calls(3, bySecond, "isp2")
	step := steps.Of(t)
	step.Run("ordered down: its connections are flushed, new ones go elsewhere", func(t *testing.T) {
		says(t, w.router.pbr("uplink", "isp1", "down"), 0, "pbr watch is not running", "connections flushed: ")
		if isp := w.arrives(byDefault); isp != "isp2" {
			t.Errorf("isp1 taken out of use: a new connection arrives at %q", isp)
		}
		if n := first.broken(); n != 3 {
			t.Errorf("isp1 taken out of use: %d of 3 connections by it were flushed", n)
		}
	})
	backup := w.calls(3, byDefault, "isp2")
	step.Run("given back: nothing that runs is moved", func(t *testing.T) {
		w.router.must("uplink", "isp1", "auto")
		w.router.inSync()
		if isp := w.arrives(byDefault); isp != "isp1" {
			t.Errorf("isp1 given back: a new connection arrives at %q", isp)
		}
		backup.stillUp("isp1 is back")
		second.stillUp("isp1 forced")
	})

	step.Run("an order beside an edit is recorded, and the edit stays out of force", func(t *testing.T) {
		w.router.write(watchPolicy + "\n[[policy]]\nname = \"edited\"\nsrc = \"192.168.10.10\"\nuplink = \"isp2\"\n")
		before := w.router.ours()
		says(t, w.router.pbr("uplink", "isp2", "down"), 1, "recorded, but not in force", "pbr apply")
		if d := diffLines(before, w.router.ours()); d != "" {
			t.Errorf("an edit of the policy came into force by pbr uplink:\n%s", d)
		}
		w.router.must("apply")
		if isp := w.arrives(bySecond); isp != "isp1" {
			t.Errorf("isp2 out of use: a new connection arrives at %q", isp)
		}
		says(t, w.router.pbr("uplink", "isp9", "down"), 1, "there is no uplink isp9", "the uplinks are isp1, isp2")
	})
	step.Run("flush forgets orders", func(t *testing.T) {
		w.router.must("flush")
		if _, err := os.Stat(w.Router.StateDir()); err == nil {
			t.Error("flush left the state directory")
		}
		w.router.apply(watchPolicy)
		if isp := w.arrives(bySecond); isp != "isp2" {
			t.Errorf("flushed and applied: a new connection arrives at %q", isp)
		}
	})
}

// declines is says of an apply that was not tried, which tells nothing about the machine.
func declines(t *testing.T, res lab.Result, words ...string) {
	t.Helper()
	says(t, res, 1, words...)
	if strings.Contains(res.Stderr, "warning: ") || strings.Contains(res.Stderr, "problem: ") {
		t.Errorf("warnings beside the reason:\n%s", res.Stderr)
	}
}

// A second apply while one waits to be confirmed says that alone.
func TestSecondTrialIsDeclined(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	says(t, w.router.pbr("apply", "--confirm", "600s"), 0, "warning: watch: does not run")
	declines(t, w.router.pbr("apply"), "left)", "pbr confirm", "pbr revert")
	w.router.must("revert")
}

// A policy file that lost its uplinks takes nothing away, but by flush.
func TestFileWithoutUplinks(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	w.router.must("apply")
	before := w.router.ours()
	w.router.write("")
	declines(t, w.router.pbr("apply"), "has no uplink", "pbr flush")
	declines(t, w.router.pbr("apply", "--confirm", "60s"), "has no uplink")
	says(t, w.router.pbr("watch"), 1, "has no uplink")
	if d := diffLines(before, w.router.ours()); d != "" {
		t.Errorf("an empty file took away:\n%s", d)
	}
	w.router.write(watchPolicy)
	w.start()
	w.kill() // its socket stays
	w.router.must("flush")
	if _, err := os.Stat(w.Router.StateDir()); err == nil {
		t.Error("flush left the state directory of a watch that was killed")
	}
	w.router.write("")
	says(t, w.router.pbr("apply"), 0, "warning", "has no uplink: pbr routes nothing")
}

// What the checks found counts for an apply right after the watch's end, and not when nobody looked
// after it for long.
func TestFoundWithoutWatch(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.dead("isp1", "9.9.9.9")
	w.waitState("isp1", "down")
	w.waitArrives(byDefault, "isp2")
	w.kill()
	step := steps.Of(t)
	step.Run("right after the watch its findings count", func(t *testing.T) {
		says(t, w.router.pbr("apply"), 0,
			"uplink isp1 is not used: pbr watch, which is not running any more, found it down (9.9.9.9: no answer within 300ms)")
		if isp := w.arrives(byDefault); isp != "isp2" {
			t.Errorf("right after the watch: a new connection arrives at %q", isp)
		}
		if s, code := w.status(); code != 3 || s.Uplinks[0].State != "down" || s.Uplinks[0].LastFailure == "" {
			t.Errorf("status: exit status %d, %+v", code, s.Uplinks[0])
		}
	})
	step.Run("much later they do not", func(t *testing.T) {
		w.growOld(5 * time.Minute)
		if res := w.router.pbr("apply"); res.Code != 0 || strings.Contains(res.Stderr, "left out of use") {
			t.Errorf("apply, much later: %s", res.Stderr)
		}
		if isp := w.arrives(byDefault); isp != "isp1" {
			t.Errorf("much later: a new connection arrives at %q", isp)
		}
	})
}

// growOld makes what the last watch noted older.
func (w *watched) growOld(by time.Duration) {
	w.t.Helper()
	file := filepath.Join(w.Router.StateDir(), "health.json")
	b, err := os.ReadFile(file)
	state := map[string]json.RawMessage{}
	if err == nil {
		err = json.Unmarshal(b, &state)
	}
	var noted time.Duration
	if err == nil {
		err = json.Unmarshal(state["noted"], &noted)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	state["noted"] = json.RawMessage(fmt.Sprint(int64(noted - by)))
	if b, err = json.Marshal(state); err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// With a broken policy file, or none, status shows what the watch holds; a second watch says at
// once that there is one.
func TestStatusBesideABrokenFile(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy+"[watch]\nhook = \"/nonexistent/hook\"\n", 2)
	step := steps.Of(t)
	step.Run("a second watch, and flush, are refused", func(t *testing.T) {
		w.logged("level=WARN", "the hook cannot be run", "no such file")
		says(t, w.router.pbr("watch"), 1, fmt.Sprintf("pbr watch is already running in this network namespace (process %d)",
			w.cmd.Process.Pid), "run pbr apply")
		says(t, w.router.pbr("flush"), 1, fmt.Sprintf("kill %d", w.cmd.Process.Pid))
	})
	step.Run("status shows the policy that is in force", func(t *testing.T) {
		w.router.write("uplink = 7\n")
		res := w.router.pbr("status")
		says(t, res, 0, "is broken: run \"pbr check\" for details; this is the policy that pbr watch read before")
		if !matches(`isp2 +wan2 +up`, res.Stdout) || !matches(`to-isp2 +IPv4 +isp2 via 198.51.100.1, distance 1`, res.Stdout) {
			t.Errorf("pbr status printed\n%s", res.Stdout)
		}
	})
	step.Run("what dies is shown beside it", func(t *testing.T) {
		w.hangUp()
		w.logged("reload failed")
		w.dead("isp2", "9.9.9.9")
		w.waitState("isp2", "down")
		w.dead("isp1", "9.9.9.9")
		w.waitState("isp1", "down")
		res := w.router.pbr("status")
		says(t, res, 3)
		if !matches(`default +IPv4 +isp1 via 192.0.2.1, distance 1 \(not usable, kept: the table has no other\)`, res.Stdout) {
			t.Errorf("pbr status printed\n%s", res.Stdout)
		}
		w.logged("table default has no usable uplink left")
	})
	step.Run("so without a file", func(t *testing.T) {
		if err := os.Remove(w.router.file); err != nil {
			t.Fatal(err)
		}
		says(t, w.router.pbr("status"), 3, "there is no policy file")
		if res := w.Router.Exec(pbrPath, "--config", "/nonexistent.toml", "status"); res.Code != 3 || res.Stderr != "" {
			t.Errorf("a file that the watch does not have: exit status %d, %s", res.Code, res.Stderr)
		}
	})
}
