package daemon

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pbr/compiler"
)

// A watch that finds no room for notes starts with what the kernel holds, fails over with it, and
// takes the file when there is room.
func TestStartWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, strings.Replace(twoUplinks, `name = "both"`,
			"name = \"other\"\nroutes = { uplink = \"isp1\" }\n[[table]]\nname = \"both\"", 1))
		b.held = twoUplinks
		b.kernel.holds, _ = compiler.Compile(parse(t, twoUplinks), usualMachine(), nil)
		b.kernel.noRoom = errors.New("the disk is full")
		b.start()
		if log := b.log.String(); !strings.Contains(log, "not in force") || !strings.Contains(log, "the disk is full") {
			t.Errorf("the log does not say so:\n%s", log)
		}
		sleep(downTime)
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantRoutes("isp1 dead without room", "default", "wan2")
		b.wantRoutes("without room", "other", "")
		b.kernel.do(func() { b.kernel.noRoom = nil })
		sleep(2 * roomLook)
		synctest.Wait()
		b.wantRoutes("with room", "other", "wan1")
		reloads := b.w.Report().Numbers.Reloads
		sleep(time.Hour)
		if n := b.w.Report().Numbers.Reloads; n != reloads {
			t.Errorf("%d reloads later", n-reloads)
		}
		b.stop()
	})
}

// Without room, and without anything that the kernel holds, there is nothing to start with.
func TestStartWithoutRoomOrPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.held = "uplink = 7"
		b.kernel.fail = ErrNoRoom
		if err := New(b.options()).Run(t.Context()); !errors.Is(err, ErrNoRoom) || !strings.Contains(err.Error(), "want [[uplink]]") {
			t.Errorf("got %v", err)
		}
	})
}
