package integration

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// Whoever removes the watch's lock and socket does not get a second watch: the first makes them
// again, or ends if another one has them.
func TestRemovedLockAndSocket(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	remove := func(t *testing.T) {
		t.Helper()
		if err := os.RemoveAll(w.Router.StateDir()); err != nil {
			t.Fatal(err)
		}
	}
	step := steps.Of(t)
	step.Run("they are made again", func(t *testing.T) {
		remove(t)
		w.logged("somebody removed the lock: made it again")
		w.logged("somebody removed the control socket: made it again")
		says(t, w.router.pbr("watch"), 1, fmt.Sprintf("already running in this network namespace (process %d)", w.cmd.Process.Pid))
		w.waitState("isp1", "up")
		says(t, w.router.pbr("apply"), 0)
		w.router.inSync()
	})
	step.Run("another watch has them: this one ends", func(t *testing.T) {
		first := w.cmd
		if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		remove(t)
		w.start()
		lab.WaitFor(t, "the second watch", func() bool { return socketThere(w.socket()) })
		w.waitState("isp1", "up")
		second := w.cmd
		if err := first.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		w.cmd = first
		if err := w.wait(); err == nil {
			t.Error("the first watch ends without an error")
		}
		w.cmd = second
		w.logged("was removed, and another pbr watch", fmt.Sprintf("process %d", second.Process.Pid))
		w.waitState("isp2", "up")
		says(t, w.router.pbr("apply"), 0)
	})
}

func socketThere(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
