package explain_test

import (
	"slices"
	"strings"
	"testing"

	"pbr/compiler/explain"
	"pbr/compiler/plan"
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

// A question for a connection that runs says so, and takes its pin from it.
func TestTrackedConnection(t *testing.T) {
	doc, p, _ := compiledPolicy(t, twoUplinks)
	x, err := explain.New(doc, p, p, explain.Live{})
	if err != nil {
		t.Fatal(err)
	}
	pin := plan.PinnedMark(p.Numbers, "isp2")
	for _, c := range []struct {
		name, state, pinned string
		mark                uint32
		note, uplink        string
	}{
		{"new", "", "", pin, "this connection exists already, pinned to isp2, where it stays: --state established shows its path", "isp1"},
		{"new, unmarked", "new", "", 1, "this connection exists already, without a mark: --state established shows its path", "isp1"},
		{"established", "established", "", pin | p.Inside | 1, "this connection is in conntrack, pinned to isp2, where it stays", "isp2"},
		{"established, unmarked", "established", "", 0, "this connection is in conntrack, without a mark", "isp1"},
		{"the pin is named", "established", "isp1", pin | p.Inside, "", "isp1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var keys explain.Text
			for key, value := range map[string]string{"in": "lan1", "src": "10.0.0.1", "dst": "9.9.9.9", "proto": "udp",
				"sport": "5000", "dport": "53", "state": c.state, "pinned": c.pinned} {
				keys.Set(key, value)
			}
			q, err := x.Read(&keys, nil)
			if err != nil {
				t.Fatal(err)
			}
			o, whole := q.Opening()
			if !whole || o.SPort != 5000 || o.DPort != 53 || o.Src.String() != "10.0.0.1" {
				t.Fatalf("it would open %+v, %v", o, whole)
			}
			x.Tracked(q, c.mark)
			a, err := x.Answer(q)
			if err != nil || a.Uplink != c.uplink {
				t.Errorf("uplink %q, %v; want %q", a.Uplink, err, c.uplink)
			}
			notes := slices.DeleteFunc(slices.Clone(a.Why), func(s string) bool { return !strings.HasPrefix(s, "this connection") })
			if strings.Join(notes, "|") != c.note {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
		})
	}
	q := &explain.Question{}
	if _, whole := q.Opening(); whole {
		t.Error("an empty question has a connection")
	}
}
