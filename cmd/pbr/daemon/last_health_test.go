package daemon

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pbr/compiler/plan"
	"pbr/healthcheck"
)

// left is what a command would find now.
func (b *bench) left() LastHealth {
	b.t.Helper()
	host, err := b.kernel.HostFacts(plan.Needs{})
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := ReadLastHealth(b.state, parse(b.t, b.policy), host, time.Since(b.booted))
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

func (b *bench) wantLastHealth(when, want string) {
	b.t.Helper()
	l := b.left()
	var got []string
	for _, s := range l.Uplinks {
		text := s.Uplink + " " + string(s.State)
		if l.Down[keyOf(s.UplinkVersion)] == 0 {
			text += " used"
		}
		got = append(got, text)
	}
	if strings.Join(got, ", ") != want || len(l.Down) != len(want)-len(strings.ReplaceAll(want, "down", "dow")) {
		b.t.Errorf("%s: left is %q, %v; not %q", when, got, l.Down, want)
	}
}

// What checks found counts for a while without a watch, orders count until they are revoked.
func TestLastHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.wantLastHealth("before there was any watch", "")
		b.start()
		sleep(downTime)
		b.wantLastHealth("all is well", "")
		b.prober.set("isp1", true)
		sleep(downTime)
		if err := b.w.Force(t.Context(), "isp2", healthcheck.ForceDown); err != nil {
			t.Fatal(err)
		}
		sleep(10 * time.Minute) // it is noted again and again
		b.stop()
		b.wantLastHealth("just ended", "isp1 down, isp2 forced-down")
		if l := b.left(); l.Down[v4("isp1")] >= l.Down[v4("isp2")] {
			t.Errorf("the order of going down is lost: %v", l.Down)
		}
		sleep(FoundHolds - time.Second)
		b.wantLastHealth("a bit later", "isp1 down, isp2 forced-down")
		sleep(time.Second)
		b.wantLastHealth("much later", "isp2 forced-down")
		b.booted = time.Now()
		b.wantLastHealth("noted before this boot", "isp2 forced-down")
		if err := os.WriteFile(b.state, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadLastHealth(b.state, parse(t, b.policy), plan.HostFacts{}, 0); err == nil ||
			!strings.Contains(err.Error(), b.state) {
			t.Errorf("a damaged file: %v", err)
		}
	})
}

// A link that was bad counts only while it still is.
func TestLastHealthOfLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.start()
		b.kernel.setLink("wan1", func(l *plan.Link) { l.Carrier = false })
		b.events <- KernelEvent{Kind: HostChanged}
		sleep(downTime)
		b.stop()
		b.wantLastHealth("carrier lost", "isp1 link-down")
		b.kernel.setLink("wan1", func(l *plan.Link) { l.Carrier = true })
		b.wantLastHealth("carrier back", "")
	})
}

// The wait of a link that flapped counts for nothing when nobody watches: the link is good.
func TestLastHealthOfFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, strings.ReplaceAll(twoUplinks, `{ method = "ping", targets = "9.9.9.9" }`, `"none"`))
		b.start()
		carrier := func(good bool) {
			b.kernel.setLink("wan2", func(l *plan.Link) { l.Carrier = good })
			b.events <- KernelEvent{Kind: HostChanged}
			synctest.Wait()
		}
		for range 4 {
			carrier(false)
			carrier(true)
		}
		b.wantRoutes("held", "default", "wan1")
		b.stop()
		b.wantLastHealth("the link is good", "")
		b.kernel.setLink("wan2", func(l *plan.Link) { l.Carrier = false })
		b.wantLastHealth("carrier lost again", "isp2 link-down")
		b.start()
		b.wantRoutes("held after a restart", "default", "wan1")
		b.stop()
		b.kernel.setLink("wan2", func(l *plan.Link) { l.Up = false })
		if l := b.left(); len(l.Uplinks) != 1 || l.Uplinks[0].State != healthcheck.LinkDown ||
			l.Uplinks[0].LastFailure != "the interface is set down" {
			t.Errorf("what is left of a bad link is not what it is now: %+v", l.Uplinks)
		}
	})
}

// force gives an order without a watch.
func (b *bench) force(uplink, mode string, send bool) int {
	b.t.Helper()
	done, err := New(b.options()).ForceAlone(context.Background(), b.left(), uplink, mode, send)
	if err != nil {
		b.t.Fatal(err)
	}
	return done.Flushed
}

func TestForceAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.start()
		sleep(downTime)
		b.stop()
		if n := b.force("isp1", healthcheck.ForceDown, true); n != 1 {
			t.Errorf("%d flushed", n)
		}
		b.wantRoutes("isp1 down", "default", "wan2")
		b.wantFlushed("isp1 down", "4 isp1 192.0.2.2")
		b.wantLastHealth("isp1 down", "isp1 forced-down")
		b.force("isp2", healthcheck.ForceUp, true)
		b.wantLastHealth("isp2 up", "isp1 forced-down, isp2 forced-up used")
		b.force("isp1", healthcheck.ForceAuto, true)
		b.wantRoutes("isp1 auto", "default", "wan1 wan2")
		b.wantFlushed("isp1 auto")
		b.wantLastHealth("isp1 auto", "isp2 forced-up used")

		// Only noted: the next watch does all of it.
		applies, _ := b.kernel.counts()
		b.force("isp1", healthcheck.ForceDown, false)
		if n, _ := b.kernel.counts(); n != applies {
			t.Error("an order that is only to be noted went to the kernel")
		}
		b.start()
		b.wantRoutes("after a start", "default", "wan2")
		b.wantFlushed("after a start", "4 isp1 192.0.2.2")
		b.stop()
		for name, words := range map[string]string{"isp9": "the uplinks are isp1, isp2", "wan2": "it is the interface of uplink isp2"} {
			_, err := New(b.options()).ForceAlone(context.Background(), b.left(), name, healthcheck.ForceUp, true)
			if err == nil || !strings.Contains(err.Error(), "there is no uplink "+name+" in p.toml: "+words) {
				t.Errorf("forcing %s: %v", name, err)
			}
		}
	})
}

// Who takes the last usable uplink of a table out of use is told which tables keep its routes, with
// and without a watch.
func TestForceTellsWhatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		want := func(how string, got map[string][]string, wanted string) {
			t.Helper()
			if text := fmt.Sprint(got); text != wanted {
				t.Errorf("%s: kept are %s, not %s", how, text, wanted)
			}
		}
		b.start()
		sleep(downTime)
		for _, name := range []string{"isp2", "isp1"} {
			want("before "+name, b.w.Report().Kept, "map[]")
			if err := b.w.Force(t.Context(), name, healthcheck.ForceDown); err != nil {
				t.Fatal(err)
			}
		}
		want("by the watch", b.w.Report().Kept, "map[both:[isp1] default:[isp1]]")
		if err := b.w.Force(t.Context(), "wan1", healthcheck.ForceDown); err == nil ||
			!strings.Contains(err.Error(), "it is the interface of uplink isp1") {
			t.Errorf("an interface's name: %v", err)
		}
		b.stop()
		for name, wanted := range map[string]string{"isp1": "map[]", "isp2": "map[both:[isp2] default:[isp2]]"} {
			b.force("isp1", healthcheck.ForceDown, true)
			b.force("isp2", healthcheck.ForceAuto, true)
			done, err := New(b.options()).ForceAlone(context.Background(), b.left(), name, healthcheck.ForceDown, true)
			if err != nil {
				t.Fatal(err)
			}
			want("without a watch, "+name, done.Kept, wanted)
		}
	})
}

// An order does not make what was found before it any younger.
func TestForceAloneKeepsTheAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.start()
		b.prober.set("isp1", true)
		sleep(downTime)
		b.stop()
		sleep(FoundHolds / 2)
		b.force("isp2", healthcheck.ForceDown, true)
		b.wantLastHealth("half of the time is over", "isp1 down, isp2 forced-down")
		sleep(FoundHolds / 2)
		b.wantLastHealth("all of it is over", "isp2 forced-down")
	})
}

// What happens is logged in the order of cause and effect, and a table that keeps dead routes says
// so.
func TestLogTells(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		inOrder := func(words ...string) {
			t.Helper()
			text, at := b.log.String(), 0
			for _, w := range words {
				i := strings.Index(text[at:], w)
				if i < 0 {
					t.Fatalf("no %q in its place in\n%s", w, text)
				}
				at += i + len(w)
			}
			*b.log = safeBuffer{}
		}
		force := func(mode string) {
			t.Helper()
			if err := b.w.Force(t.Context(), "isp1", mode); err != nil {
				t.Fatal(err)
			}
		}
		*b.log = safeBuffer{}
		force(healthcheck.ForceDown)
		inOrder("uplink isp1: forced-down", "routes updated")
		force(healthcheck.ForceAuto)
		sleep(downTime)
		inOrder("uplink isp1: up", "routes updated")
		b.prober.set("isp1", true)
		sleep(downTime)
		b.prober.set("isp2", true)
		sleep(downTime)
		inOrder("level=WARN msg=\"table both has no usable uplink left: the routes over the last one stay", "uplinks=isp")
		b.prober.set("isp2", false)
		sleep(downTime)
		inOrder("table both has a usable uplink again", "table default has a usable uplink again")
		b.kernel.setLink("wan2", func(l *plan.Link) { l.Carrier = false })
		b.events <- KernelEvent{Kind: HostChanged}
		sleep(downTime)
		inOrder("level=WARN msg=\"uplink isp2: link-down\"", "reason=\"carrier lost\"")
		b.kernel.setLink("wan2", func(l *plan.Link) { l.Carrier = true })
		b.events <- KernelEvent{Kind: HostChanged}
		synctest.Wait()
		inOrder("level=INFO msg=\"uplink isp2: ")
		b.reload(strings.Replace(twoUplinks, "[check]", "[watch]\nlog = \"json\"\n[check]", 1))
		inOrder("reloaded the policy: the kernel already holds it")
	})
}
