package explain_test

import (
	"slices"
	"strings"
	"testing"

	"pbr/compiler/explain"
)

// What the story says of who decided is what the answer's reasons say: of a pinned connection the
// uplink that it is pinned to, of an impossible source the interface.
func TestStoryAgreesWithReasons(t *testing.T) {
	x := explainer(t, twoUplinks)
	for _, c := range []struct{ name, step, want, in, src, state, pinned string }{
		{"pinned to isp2", "connection", "the connection is established, and pinned to isp2", "lan1", "10.0.0.1", "established", "isp2"},
		{"pinned to isp1", "connection", "the connection is established, and pinned to isp1", "lan1", "10.0.0.1", "established", "isp1"},
		{"impossible source", "source", "the source 0.0.0.0 is impossible for a host behind lan1", "lan1", "0.0.0.0", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := answered(t, x, map[string]string{"in": c.in, "src": c.src, "dst": "9.9.9.9", "proto": "udp",
				"state": c.state, "pinned": c.pinned})
			steps := x.Story(a, nil, false).Steps
			i := slices.IndexFunc(steps, func(s explain.Step) bool { return s.What == c.step })
			if i < 0 || !strings.HasPrefix(steps[i].Text, c.want) || !slices.Contains(a.Why, steps[i].Text) {
				t.Errorf("steps %+v, reasons %q; want a step %s: %s", steps, a.Why, c.step, c.want)
			}
		})
	}
}
