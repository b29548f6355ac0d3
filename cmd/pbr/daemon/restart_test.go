package daemon

import (
	"os"
	"reflect"
	"testing"
	"testing/synctest"

	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// A restart changes nothing in the kernel, whatever is down.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.start()
		sleep(downTime)
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantFlushed("isp1 dead", "4 isp1 192.0.2.2")
		b.stop()
		held := b.kernel.plan()
		_, updates := b.kernel.counts()
		b.start()
		b.wantRoutes("after the restart", "default", "wan2")
		sleep(downTime)
		b.wantRoutes("after a while", "default", "wan2")
		b.wantFlushed("after the restart")
		if _, n := b.kernel.counts(); n != updates || !reflect.DeepEqual(held, b.kernel.plan()) {
			t.Errorf("%d updates after the restart", n-updates)
		}
		b.prober.set("isp1", false)
		sleep(downTime)
		b.wantRoutes("isp1 back", "default", "wan1 wan2")
		b.stop()
	})
}

// What a restarted watch reports from its first moment makes the plan that the kernel holds, also
// where no uplink is left and the order of their ends decides.
func TestRestartReportsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.start()
		sleep(downTime)
		b.kernel.setLink("wan2", func(l *plan.Link) { l.Addrs = nil })
		b.events <- KernelEvent{Kind: HostChanged}
		synctest.Wait()
		if err := b.w.Force(t.Context(), "isp1", healthcheck.ForceDown); err != nil {
			t.Fatal(err)
		}
		before := b.w.Report().Down
		if before[v4("isp2")] == 0 || before[v4("isp1")] <= before[v4("isp2")] {
			t.Fatalf("down are %v", before)
		}
		b.stop()
		b.start()
		for _, when := range []string{"at once", "after a full pass"} {
			if got := b.w.Report().Down; !reflect.DeepEqual(got, before) {
				t.Errorf("%s: down are %v, not %v", when, got, before)
			}
			b.wantRoutes(when, "default", "wan1")
			sleep(2 * audit)
		}
		b.stop()
	})
}

// A run that was killed between noting a failure and acting on it is completed by the next one.
func TestRestartCompletesAFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		saved := `{"lines": [{"uplink": "isp1", "version": 4, "state": "down", "since": "2000-01-01T00:00:00Z"},
			{"uplink": "gone", "version": 4, "state": "down"}],
			"down": {"isp1/4": 4, "gone/4": 5}, "owing": {"isp1/4": {"pinned": true, "unmarked": true}},
			"addresses": {"isp1": ["192.0.2.77"]}}`
		if err := os.WriteFile(b.state, []byte(saved), 0o600); err != nil {
			t.Fatal(err)
		}
		b.prober.set("isp1", true)
		b.start()
		b.wantRoutes("at once", "default", "wan2")
		b.wantFlushed("at once", "4 isp1 192.0.2.2", "4 192.0.2.77")
		b.stop()
		// What cannot be read is no reason not to start.
		if err := os.WriteFile(b.state, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.prober.set("isp1", false)
		b.start()
		b.wantRoutes("with a damaged file", "default", "wan1 wan2")
		b.stop()
	})
}
