package integration

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// moreTables is watchPolicy with a table more, which cannot come into force without a note in /run.
const moreTables = watchPolicy +
	"\n[[table]]\nname = \"third\"\nroutes = { uplink = \"isp2\" }\n[[policy]]\nname = \"third\"\n" +
	"src = \"192.168.10.10\"\ntable = \"third\"\n"

// Without room in /run a watch starts with the policy that is in force, says so, fails over and
// repairs, and takes the edited file when there is room.
func TestWatchWithFullRun(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	w.smallDisk()
	w.start()
	w.waitState("isp1", "up")
	w.stop()
	w.router.write(moreTables)
	w.fill()
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	w.logged("the policy file is not in force", "no space left on device")
	w.inForce(watchPolicy, "without room")
	w.dead("isp1", "9.9.9.9")
	w.waitState("isp1", "down")
	w.waitArrives(byDefault, "isp2")
	w.alive("isp1", "9.9.9.9")
	w.waitState("isp1", "up")
	w.waitArrives(byDefault, "isp1")
	w.Router.Run("nft", "delete", "table", "inet", "pbr")
	w.waitArrives(bySecond, "isp2")
	w.logged("somebody else changed")
	w.inForce(watchPolicy, "repaired without room")
	w.fill() // a snapshot that did not fit is gone, which made room
	says(t, w.router.pbr("apply"), 1, "no space left on device", "free some space")
	says(t, w.router.pbr("apply", "--confirm", "60s"), 1, "no space left on device")
	w.inForce(watchPolicy, "after applies without room")
	w.hangUp()
	w.logged("reload failed", "no space left on device", "as soon as there is space")
	res := w.router.pbr("status")
	says(t, res, 0)
	if !matches(`is not in force: .*no space left on device.*: pbr watch tries again as soon as there is space`, res.Stdout) {
		t.Errorf("pbr status printed\n%s", res.Stdout)
	}
	w.emptyDisk()
	w.logged("reloaded the policy")
	w.inForce(moreTables, "with room")
	w.waitArrives(byDefault, "isp2")
}

// Without room in /run a watch that is killed and one that was never noted start alike, and other
// commands still find it.
func TestWatchKilledWithFullRun(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	w.smallDisk()
	w.start()
	w.waitState("isp1", "up")
	w.kill()
	if err := os.Truncate(filepath.Join(w.Router.StateDir(), "lock"), 0); err != nil {
		t.Fatal(err)
	}
	w.fill()
	w.start()
	w.waitState("isp2", "up")
	says(t, w.router.pbr("apply"), 0)
	says(t, w.router.pbr("uplink", "isp2", "down"), 0)
	w.waitArrives(bySecond, "isp1")
	says(t, w.router.pbr("watch"), 1, "already running")
}

// An undo that is due while there is no room in /run is tried again until it succeeds, with a watch
// and without.
func TestDueUndoWithFullRun(t *testing.T) {
	t.Parallel()
	for _, watch := range []bool{true, false} {
		w := newWatched(t, moreTables, 2)
		w.smallDisk()
		w.router.must("apply")
		if watch {
			w.start()
			w.waitState("isp1", "up")
		}
		w.router.write(watchPolicy)
		w.router.must("apply", "--confirm", "2s")
		w.fill()
		w.inForce(watchPolicy, "applied")
		if watch {
			w.logged("undoing the apply that was not confirmed", "no space left on device")
		} else {
			time.Sleep(3 * time.Second) // its time is over, and nobody says so
		}
		w.inForce(watchPolicy, "while there is no room")
		w.emptyDisk()
		w.waitUndone()
		w.inForce(moreTables, "with room")
	}
}
