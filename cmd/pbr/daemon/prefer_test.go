package daemon

import (
	"testing"
	"time"

	"pbr/compiler/policy"
)

// The quickest uplink after the first round, then another one when it is quicker by the margin and
// 5 ms for long enough.
func TestChoose(t *testing.T) {
	p := policy.Prefer{LowestRTT: true, Margin: 0.2, Hold: 10 * time.Second}
	ms := func(a, b float64) []candidate {
		rtt := func(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
		return []candidate{{"a", rtt(a), false}, {"b", rtt(b), false}}
	}
	var c choice
	now := time.Unix(0, 0)
	for i, step := range []struct {
		name  string
		after time.Duration
		from  []candidate
		want  string
	}{
		{"not before all first rounds have ended", 0, []candidate{{"a", 30 * time.Millisecond, false}, {"b", 0, true}}, ""},
		{"the quickest, without hold", 0, ms(30, 20), "b"}, // without hold
		{"quicker by 25 %, and by no more than 5 ms", time.Second, ms(15, 20), "b"},
		{"and not after a while", 20 * time.Second, ms(15, 20), "b"},
		{"quicker by 15 ms, and by no more than 20 %", 0, ms(85, 100), "b"}, // 15 ms, and no more than 20 %
		{"nor that after a while", 20 * time.Second, ms(85, 100), "b"},
		{"quicker by enough: not yet", 0, ms(50, 100), "b"},
		{"not before hold has passed", 9 * time.Second, ms(50, 100), "b"},
		{"not for so long: it begins again", 500 * time.Millisecond, ms(95, 100), "b"},
		{"quicker once more", 0, ms(50, 100), "b"},
		{"hold has not passed", 9 * time.Second, ms(50, 100), "b"},
		{"hold has passed", time.Second, ms(50, 100), "a"},
		{"the one in use failed: at once", 0, []candidate{{"b", 100 * time.Millisecond, false}}, "b"}, // a failed: at once
		{"it is back", time.Second, ms(50, 100), "b"},
		{"hold has passed again", 10 * time.Second, ms(50, 100), "a"},
		{"nobody knows", 0, ms(0, 0), ""}, // nobody knows
	} {
		t.Run(step.name, func(t *testing.T) {
			now = now.Add(step.after)
			if got := c.choose(now, step.from, p); got != step.want {
				t.Errorf("step %d: %q is used, not %q", i, got, step.want)
			}
		})
	}
}

// A table that prefers the quicker one of two leads through it alone, and changes with the round
// trips; the other one takes over when it fails.
func TestPreferLowestRTT(t *testing.T) {
	text := twoUplinks + "[[table]]\nname = \"quick\"\nroutes = [{ uplink = \"isp1\" }, { uplink = \"isp2\" }]\n" +
		"prefer = \"lowest-rtt\"\nhold = \"5s\"\n" +
		"[[policy]]\nname = \"games\"\ndport = 3074\ntable = \"quick\"\n"
	in(t, text, func(t *testing.T, b *bench) {
		b.prober.setRTT("isp1", 60*time.Millisecond)
		sleep(3 * time.Second)
		b.wantRoutes("isp2 is quicker", "quick", "wan2")
		b.prober.setRTT("isp1", time.Millisecond)
		b.prober.setRTT("isp2", 60*time.Millisecond)
		sleep(4 * time.Second)
		b.wantRoutes("isp1 is quicker, not for long", "quick", "wan2")
		sleep(6 * time.Second)
		b.wantRoutes("isp1 is quicker", "quick", "wan1")
		b.prober.set("isp1", true)
		sleep(downTime)
		b.wantRoutes("isp1 is dead", "quick", "wan2")
		b.wantRoutes("others do not care", "both", "wan2")
		b.stop()
		b.start()
		b.wantRoutes("after a restart", "quick", "wan2")
	})
}
