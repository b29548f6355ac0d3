package daemon

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// The hook sees the uplink and the tables as they are after the event.
func TestHookFacts(t *testing.T) {
	in(t, twoUplinks, func(t *testing.T, b *bench) {
		sleep(downTime)
		b.prober.set("isp1", true)
		sleep(downTime)
		_, hooks := b.told()
		env := hooks[len(hooks)-1].Environment()
		for _, want := range []string{"PBR_UPLINK=isp1", "PBR_TO=down", "PBR_ADDRESS4=192.0.2.2", "PBR_ADDRESS6=",
			"PBR_GATEWAY4=192.0.2.1", "PBR_GATEWAY6=",
			"PBR_STATE4=down", "PBR_STATE6=", "PBR_ACTIVE_DEFAULT=isp2", "PBR_ACTIVE_BOTH=isp2"} {
			if !slices.Contains(env, want) {
				t.Errorf("no %s in %q", want, env)
			}
		}
	})
}

// Events outlive a restart of the watch, and are not more than 200.
func TestPastEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, twoUplinks)
		b.start()
		sleep(downTime)
		for range 110 {
			for _, mode := range []string{"down", "auto"} {
				if err := b.w.Force(t.Context(), "isp1", mode); err != nil {
					t.Fatal(err)
				}
			}
		}
		before := b.w.Events()
		if n := len(before); n != pastEvents {
			t.Errorf("%d events are kept", n)
		}
		if e := before[n(before)]; e.Uplink != "isp1" || e.Version != "4" ||
			!strings.HasPrefix(string(e.From), "forced") || e.Time.IsZero() || e.Reason == "" {
			t.Errorf("the last one is %+v", e)
		}
		b.stop()
		left, err := PastEvents(b.state)
		if err != nil || len(left) != pastEvents {
			t.Errorf("%d are left, %v", len(left), err)
		}
		if early := New(b.options()).Events(); len(early) != pastEvents {
			t.Errorf("a watch that has not begun yet knows %d", len(early))
		}
		b.start()
		if after := b.w.Events(); len(after) == 0 || !after[n(after)].Time.Equal(before[n(before)].Time) {
			t.Errorf("after a restart: %d", len(after))
		}
		b.stop()
	})
}

func n(events []PastEvent) int { return len(events) - 1 }
