package daemon

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// downTime is more than the uplinks of twoUplinks need to be declared down or up.
const downTime = 500 * time.Millisecond

func TestFailoverAndReturn(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.wantRoutes("at first", "default", "wan1 wan2")
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantRoutes("isp1 dead", "default", "wan2")
		b.wantRoutes("isp1 dead", "both", "wan2")
		b.wantRoutes("isp1 dead", "isp1", "wan1")
		b.wantFlushed("isp1 dead", "4 isp1 192.0.2.2")
		applies, _ := b.kernel.counts()
		b.prober.set("isp1", false)
		sleep(downTime)
		b.wantRoutes("isp1 back", "default", "wan1 wan2")
		b.wantFlushed("isp1 back")
		if a, u := b.kernel.counts(); u != 2 || a != applies {
			t.Errorf("%d updates, %d full passes since the failure", u, a-applies)
		}
		var kinds []string
		_, hooks := b.told()
		for _, e := range hooks {
			kinds = append(kinds, e.Uplink+" "+e.Kind())
		}
		if got := strings.Join(kinds, ", "); got != "isp1 change, isp2 change, isp1 down, isp1 up" &&
			got != "isp2 change, isp1 change, isp1 down, isp1 up" {
			t.Errorf("hooks: %s", got)
		}
	})
}

// Nothing is flushed while a table has no other uplink, except for strict ones, which become
// unreachable; when it has one again, what was owed is flushed.
func TestAllDown(t *testing.T) {
	strict := strings.Replace(twoUplinks, `name = "both"`, "name = \"both\"\nstrict = true", 1)
	in(t, strict, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantFlushed("isp1 dead", "4 isp1 isp1/strict 192.0.2.2")
		b.prober.set("isp2", true)
		sleep(downTime)
		b.wantRoutes("both dead", "default", "wan2")
		b.wantRoutes("both dead", "both", "unreachable")
		b.wantFlushed("both dead", "4 isp2/strict")
		b.prober.set("isp1", false)
		sleep(downTime)
		b.wantRoutes("isp1 back", "default", "wan1")
		b.wantFlushed("isp1 back", "4 isp2 198.51.100.2")
	})
}

// A dead uplink that one table has no other for keeps what is pinned to it, unless another table
// left it with connections of its own.
func TestDeadUplinkStillInUse(t *testing.T) {
	third := strings.Replace(twoUplinks, "[default]", `[[uplink]]
name = "isp3"
interface = "wan3"
gateway = "203.0.113.1"
check = { method = "ping", targets = "9.9.9.9" }
[[table]]
name = "only"
routes = { uplink = "isp1" }
[[table]]
name = "second"
routes = [{ uplink = "isp2" }, { uplink = "isp3", distance = 2 }]
[default]`, 1)
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, third)
		b.kernel.host.Links["wan3"] = plan.Link{Up: true, Carrier: true, Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.2")}}
		b.start()
		sleep(downTime)
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantRoutes("isp1 dead", "only", "wan1")
		b.wantFlushed("isp1 dead: default's are unmarked, the rest has no other", "4 192.0.2.2")
		b.prober.set("isp2", true)
		sleep(downTime)
		b.wantRoutes("both dead", "default", "wan2")
		b.wantRoutes("both dead", "second", "wan3")
		b.wantFlushed("both dead: one table of isp2 has another", "4 isp2")
		b.stop()
		// The next run knows what is still owed.
		b.start()
		b.prober.set("isp1", false)
		sleep(downTime)
		b.wantFlushed("isp1 back", "4 198.51.100.2")
		b.stop()
	})
}

// Two that fail together are one change, in the order of their names if nothing else tells them
// apart.
func TestLinksDown(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		_, before := b.kernel.counts()
		b.kernel.setLink("wan1", func(l *plan.Link) { l.Carrier = false })
		b.events <- KernelEvent{Kind: HostChanged}
		synctest.Wait()
		b.wantRoutes("carrier lost", "default", "wan2")
		b.wantFlushed("carrier lost", "4 isp1 192.0.2.2")
		if _, n := b.kernel.counts(); n != before+1 {
			t.Errorf("%d updates for one carrier", n-before)
		}
		// The address goes with the link, and is still the one to flush by.
		b.kernel.setLink("wan2", func(l *plan.Link) { *l = plan.Link{} })
		b.kernel.setLink("wan1", func(l *plan.Link) { l.Carrier = true })
		b.events <- KernelEvent{Kind: HostChanged}
		synctest.Wait()
		b.wantRoutes("the other link down", "default", "wan1")
		b.wantFlushed("the other link down", "4 isp2 198.51.100.2")
		applies, _ := b.kernel.counts()
		sleep(spacing + eventPause)
		if n, _ := b.kernel.counts(); n == applies {
			t.Error("no full pass after the machine changed")
		}
	})
}

func TestOnFailoverKeep(t *testing.T) {
	in(t, "[pbr]\non-failover = \"keep\"\n"+twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantRoutes("isp1 dead", "default", "wan2")
		b.wantFlushed("isp1 dead")
		b.wantPins("isp1 dead", "isp1 [192.0.2.2]")
	})
}

// A degraded uplink keeps its connections: those without a mark get one before default leaves them.
func TestDegraded(t *testing.T) {
	in(t, strings.Replace(twoUplinks, "[check]", "[check]\nmax-loss = \"20%\"\nover = 4", 1), func(t *testing.T, b *bench) {
		sleep(downTime)
		b.prober.mu.Lock()
		b.prober.lossy["isp1"] = 2
		b.prober.mu.Unlock()
		sleep(2 * downTime)
		b.wantRoutes("isp1 lossy", "default", "wan2")
		b.wantFlushed("isp1 lossy")
		b.wantPins("isp1 lossy", "isp1 [192.0.2.2]")
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantFlushed("isp1 dead", "4 isp1 192.0.2.2")
		b.wantPins("isp1 dead")
		b.prober.set("isp2", true)
		sleep(downTime)
		b.wantPins("isp2 dead, and still in use")
	})
}

func TestForce(t *testing.T) {
	t.Run("an order holds when it is taken, and until it is revoked", func(t *testing.T) {
		in(t, twoUplinks, func(t *testing.T, b *bench) {
			sleep(downTime)
			if err := b.w.Force(t.Context(), "isp1", "down"); err != nil {
				t.Fatal(err)
			}
			b.wantRoutes("forced down, when Force returns", "default", "wan2")
			b.wantFlushed("forced down", "4 isp1 192.0.2.2")
			if err := b.w.Force(t.Context(), "isp1", "auto"); err != nil {
				t.Fatal(err)
			}
			sleep(downTime)
			b.wantRoutes("not forced", "default", "wan1 wan2")
		})
	})
	t.Run("an uplink that does not exist and a mode that does not exist are refused", func(t *testing.T) {
		in(t, twoUplinks, func(t *testing.T, b *bench) {
			if err := b.w.Force(t.Context(), "isp9", "down"); err == nil || !strings.Contains(err.Error(), "isp9") {
				t.Errorf("forcing an unknown uplink: %v", err)
			}
			if err := b.w.Force(t.Context(), "isp1", "sideways"); err == nil {
				t.Error("an unknown mode is accepted")
			}
		})
	})
}

func TestDrift(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		spoil := func() {
			b.kernel.do(func() { b.kernel.spoiled = []string{"rules: 2 added"} })
			for range 3 {
				b.events <- KernelEvent{Kind: Drift, What: "ip rule 10100", Who: "intruder, process 7"}
			}
		}
		repaired := func(within time.Duration) bool {
			synctest.Wait()
			before, _ := b.kernel.counts()
			sleep(within)
			after, _ := b.kernel.counts()
			return after > before
		}
		var waits []time.Duration
		for range 12 {
			spoil()
			waited := time.Duration(0)
			for !repaired(10 * time.Millisecond) {
				if waited += 10 * time.Millisecond; waited > 2*time.Minute {
					t.Fatal("not repaired at all")
				}
			}
			waits = append(waits, waited.Round(100*time.Millisecond))
		}
		want := []time.Duration{0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60}
		for i, w := range want {
			if w *= time.Second; waits[i] < w-w/10 || waits[i] > w+200*time.Millisecond {
				t.Errorf("repair %d came after %v, not after %v", i+1, waits[i], w)
			}
		}
		log := b.log.String()
		if n := strings.Count(log, "somebody else changed"); n != len(want) {
			t.Errorf("%d log lines for %d repairs:\n%s", n, len(want), log)
		}
		if !strings.Contains(log, "intruder, process 7") || !strings.Contains(log, "times=5") {
			t.Errorf("the log does not say who, or how often:\n%s", log)
		}
		sleep(10 * time.Minute)
		spoil()
		if !repaired(200 * time.Millisecond) {
			t.Error("not repaired at once after a long peace")
		}
		if got := b.w.Report().Numbers.Repairs; got != len(want)+1 {
			t.Errorf("%d repairs counted", got)
		}
	})
}

// An event that turns out to be nothing costs no patience and no line in the log.
func TestDriftThatIsNone(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		for range 10 {
			b.events <- KernelEvent{Kind: Drift}
			sleep(time.Second)
		}
		if r := b.w.Report(); strings.Contains(b.log.String(), "somebody else") || r.Numbers.Repairs != 0 {
			t.Errorf("%d repairs:\n%s", r.Numbers.Repairs, b.log)
		}
		before, _ := b.kernel.counts()
		b.events <- KernelEvent{Kind: Drift}
		sleep(2 * repairDelay)
		if after, _ := b.kernel.counts(); after == before {
			t.Error("patience was lost")
		}
	})
}

func TestReload(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantFlushed("isp1 dead", "4 isp1 192.0.2.2")

		b.reload(strings.Replace(twoUplinks, `uplink = "isp2" }, {`, `uplink = "isp9" }, {`, 1))
		if log := b.log.String(); !strings.Contains(log, "isp9") || !strings.Contains(log, "old policy stays") {
			t.Errorf("a broken file: %s", log)
		}
		b.wantRoutes("a broken file", "both", "wan2")
		b.reload("")
		if log := b.log.String(); !strings.Contains(log, "p.toml has no uplink") || !strings.Contains(log, "pbr flush") {
			t.Errorf("an empty file: %s", log)
		}
		b.wantRoutes("an empty file", "both", "wan2")

		b.reload(strings.Replace(twoUplinks, `name = "both"`, "name = \"both\"\nstrict = true", 1))
		b.wantRoutes("reloaded: isp1 is still down", "both", "wan2 unreachable")
		b.wantFlushed("reloaded")

		b.kernel.do(func() { b.kernel.fail = errKernel })
		b.reload(twoUplinks)
		b.kernel.do(func() { b.kernel.fail = nil })
		b.wantRoutes("a reload that the kernel refused", "both", "wan2 unreachable")
		var told []string
		notify, _ := b.told()
		for _, s := range notify {
			if !strings.HasPrefix(s, "WATCHDOG") && !strings.HasPrefix(s, "STATUS") {
				told = append(told, strings.SplitN(s, "\n", 2)[0])
			}
		}
		if got := strings.Join(told,
			" "); got != "READY=1 RELOADING=1 READY=1 RELOADING=1 READY=1 RELOADING=1 READY=1 RELOADING=1 READY=1" {
			t.Errorf("the service manager was told %s", got)
		}
		r := b.w.Report()
		if r.Numbers.Reloads != 4 || r.Numbers.ReloadFailures != 3 {
			t.Errorf("%+v", r.Numbers)
		}
		sleep(2 * audit)
		b.wantRoutes("tried again", "both", "wan2")
	})
}

// An uplink that a reload removes takes its state along.
func TestReloadWithoutAnUplink(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.prober.set("isp2", true)
		sleep(downTime)
		b.reload(`
uplink = { name = "isp1", interface = "wan1", gateway = "192.0.2.1", nat = "masquerade" }
default = { routes = { uplink = "isp1" } }
`)
		sleep(downTime)
		b.wantRoutes("one uplink", "default", "wan1")
		if r := b.w.Report(); len(r.Down) != 0 || len(r.Uplinks) != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// The gateway that main has for an interface is followed.
func TestAutomaticGateway(t *testing.T) {
	auto := strings.Replace(twoUplinks, `gateway = "192.0.2.1"`, `gateway = "auto"`, 1)
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auto)
		gateway := func(addr string) {
			b.kernel.setLink("wan1", func(l *plan.Link) { l.Gateway4 = netip.MustParseAddr(addr) })
		}
		gateway("192.0.2.1")
		b.start()
		via := func() (out string) {
			for _, r := range b.kernel.plan().Routes {
				if r.Hops[0].Dev == "wan1" {
					out = r.Hops[0].Via.String()
				}
			}
			return out
		}
		sleep(downTime)
		if via() != "192.0.2.1" {
			t.Fatalf("via %s", via())
		}
		gateway("192.0.2.254")
		b.events <- KernelEvent{Kind: HostChanged}
		sleep(spacing + eventPause)
		b.stop()
		if via() != "192.0.2.254" || b.w.configs[0].Gateway4.String() != "192.0.2.254" {
			t.Errorf("via %s, probed %s", via(), b.w.configs[0].Gateway4)
		}
	})
}

// What the kernel refuses is tried again, less and less often, until it works.
func TestKernelErrors(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.kernel.do(func() { b.kernel.fail = errKernel })
		b.prober.set("isp1", true)
		sleep(time.Minute)
		b.wantFlushed("refused")
		tries, _ := b.kernel.counts()
		if tries < 5 || tries > 20 {
			t.Errorf("%d tries in a minute", tries)
		}
		b.kernel.do(func() { b.kernel.fail = nil })
		sleep(2 * time.Minute)
		b.wantRoutes("at last", "default", "wan2")
		b.wantFlushed("at last", "4 isp1 192.0.2.2")
	})
}

func TestFirstApplyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.start()
		b.stop()
		b.kernel.fail = errKernel
		w := New(b.w.Options)
		if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), errKernel.Error()) {
			t.Errorf("it runs: %v", err)
		}
	})
}

func TestKernelEventsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.start()
		b.stop()
		o := b.w.Options
		closed := make(chan KernelEvent)
		close(closed)
		o.KernelEvents, o.Monitor = closed, healthcheck.NewMonitor(b.prober)
		if err := New(o).Run(context.Background()); err == nil || !strings.Contains(err.Error(), "events ended") {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestWatchdogAndAudit(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		applies, _ := b.kernel.counts()
		sleep(10 * time.Minute)
		beats := 0
		notify, _ := b.told()
		for _, s := range notify {
			if s == "WATCHDOG=1" {
				beats++
			}
		}
		if beats < 590 {
			t.Errorf("%d beats in 600 s", beats)
		}
		if n, _ := b.kernel.counts(); n-applies < 9 || n-applies > 11 {
			t.Errorf("%d full passes in ten minutes of peace", n-applies)
		}
	})
}

// wantLeft compares the uplinks whose unmarked connections were flushed by their route since the
// last call.
func (b *bench) wantLeft(when string, want ...string) {
	b.t.Helper()
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	var got []string
	for _, c := range b.kernel.flushes {
		if c.Left != nil {
			got = append(got, c.Left.Interface)
		}
	}
	b.kernel.flushes = nil
	if !slices.Equal(got, want) {
		b.t.Errorf("%s: flushed by their route: %q, not %q\n%s", when, got, want, b.log)
	}
}

// Unmarked connections are found by their route once default leads elsewhere, and only those of the
// uplink that default leaves unmarked: by any other's failure the primary's would be found.
func TestDefaultLeavesItsPrimary(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.prober.set("isp2", true)
		sleep(downTime)
		b.wantLeft("isp2 dead")
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantLeft("isp1 dead, too: it is kept")
		b.prober.set("isp2", false)
		sleep(downTime)
		b.wantLeft("isp2 back", "wan1")
	})
	t.Run("both links are lost", func(t *testing.T) {
		in(t, twoUplinks, func(t *testing.T, b *bench) {
			sleep(downTime)
			for _, link := range []string{"wan1", "wan2"} {
				b.kernel.setLink(link, func(l *plan.Link) { *l = plan.Link{} })
			}
			b.events <- KernelEvent{Kind: HostChanged}
			synctest.Wait()
			b.wantLeft("no route is left")
			b.kernel.setLink("wan2", func(l *plan.Link) {
				*l = plan.Link{Up: true, Carrier: true, Addrs: []netip.Addr{netip.MustParseAddr("198.51.100.2")}}
			})
			b.events <- KernelEvent{Kind: HostChanged}
			sleep(downTime)
			b.wantLeft("the second link is back", "wan1")
		})
	})
}
