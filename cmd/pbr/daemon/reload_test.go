package daemon

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pbr/compiler/plan"
)

// A reload whose files are never read to their end holds nothing up: uplinks fail over, status
// answers, and the loop waits no longer than readLimit. There is one reader at a time.
func TestReloadThatHangs(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.hang = make(chan struct{})
		b.reload(twoUplinks)
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantRoutes("isp1 dead while the file is read", "default", "wan2")
		if r := b.w.Report(); len(r.Down) != 1 {
			t.Errorf("status says %v", r.Down)
		}
		sleep(readLimit)
		if log := b.log.String(); !strings.Contains(log, "takes more than 30s") {
			t.Errorf("not given up:\n%s", log)
		}
		b.reload(twoUplinks)
		if log := b.log.String(); !strings.Contains(log, "still being read") {
			t.Errorf("a second reader:\n%s", log)
		}
		if r := b.w.Report().Retry; r == nil || r.WaitsFor != waitsForFiles {
			t.Errorf("the report says %+v", r)
		}
		b.mu.Lock()
		b.policy = strictBoth
		b.mu.Unlock()
		close(b.hang)
		synctest.Wait()
		b.wantReloads("an abandoned reading does not count, its successor does", 3, 2)
		b.wantRoutes("read at last", "both", "wan2 unreachable")
		if r := b.w.Report().Retry; r != nil {
			t.Errorf("in force, and the report says %+v", r)
		}
	})
}

// A reload that is asked for while another reads is done after it, so that the newest text wins.
func TestReloadWhileReading(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.hang = make(chan struct{})
		b.reload(twoUplinks)
		b.reload(strings.Replace(twoUplinks, `name = "both"`, "name = \"both\"\nstrict = true", 1))
		sleep(time.Second)
		close(b.hang)
		synctest.Wait()
		b.wantRoutes("reloaded", "both", "wan2 wan1 unreachable")
		if r := b.w.Report(); r.Numbers.Reloads != 2 || r.Numbers.ReloadFailures != 0 {
			t.Errorf("%+v", r.Numbers)
		}
	})
}

// TestFailoverWhileAPolicyIsPrepared: what takes the kernel long holds no failover up, which goes
// by the policy that is in force, and what comes into force then knows of it.
func TestFailoverWhileAPolicyIsPrepared(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.kernel.do(func() { b.kernel.stages = 200 })
		b.reload(strings.Replace(twoUplinks, `name = "both"`, "name = \"both\"\nstrict = true", 1))
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantRoutes("while it is prepared", "both", "wan2")
		b.kernel.setLink("wan2", func(l *plan.Link) { l.Up, l.Carrier = false, false })
		b.prober.set("isp1", false)
		b.events <- KernelEvent{Kind: HostChanged}
		sleep(downTime)
		b.wantRoutes("another link goes down", "both", "wan1")
		sleep(200 * stageTime)
		b.wantRoutes("it is in force", "both", "wan1 unreachable")
	})
}
