package integration

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// Pings of the watch's checks are named where connections and packets are shown, and pings of
// others to the same target are not.
func TestProbesAreNamed(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	w.Router.Run("ping", "-c", "1", "-I", "wan1", "9.9.9.9")
	step := steps.Of(t)
	step.Run("connections", func(t *testing.T) {
		var res struct{ Connections []listed }
		text := w.router.must("connections", "--json")
		if err := json.Unmarshal([]byte(text), &res); err != nil {
			t.Fatal(err)
		}
		probes, others := map[string]string{}, 0
		for _, c := range res.Connections {
			switch {
			case c.Dst != "9.9.9.9" || c.By == nil:
			case c.By.Kind == "probe":
				probes[c.By.Name] = c.Src
			default:
				others++
			}
		}
		if len(probes) != 2 || probes["isp1"] != "192.0.2.2" || probes["isp2"] != "198.51.100.2" || others != 1 {
			t.Errorf("probes %v, and %d others\n%s", probes, others, text)
		}
	})
	step.Run("connections, for people", func(t *testing.T) {
		if text := w.router.must("connections", "--uplink", "isp2"); !strings.Contains(text, "(probe of isp2)") {
			t.Error(text)
		}
	})
	step.Run("requests", func(t *testing.T) { w.probesTraced(t, "--in", "local", "--dst", "9.9.9.9", "isp1", "isp2") })
	step.Run("answers", func(t *testing.T) { w.probesTraced(t, "--in", "wan2", "--src", "9.9.9.9", "isp2") })
}

// Probes by TCP are named, and a connection of another program of the router to the same server and
// port, over the same uplink, is not.
func TestProbesByPortAreNamed(t *testing.T) {
	t.Parallel()
	w := startWatched(t, strings.ReplaceAll(watchPolicy, `method = "ping", targets = "9.9.9.9"`, `method = "tcp", targets = "9.9.9.9:443"`), 2)
	own, err := w.Router.Dial("tcp", netip.Addr{}, netip.MustParseAddrPort("9.9.9.9:443"), lab.DialOptions{Device: "wan2"})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if _, err := own.Ask(); err != nil {
		t.Fatal(err)
	}
	probes, others := map[string]string{}, []uint16{}
	lab.WaitFor(t, "probes of both uplinks", func() bool {
		var res struct{ Connections []listed }
		text := w.router.must("connections", "--json")
		if err := json.Unmarshal([]byte(text), &res); err != nil {
			t.Fatal(err)
		}
		clear(probes)
		others = others[:0]
		for _, c := range res.Connections {
			switch {
			case c.Dst != "9.9.9.9" || c.By == nil || c.SPort == nil:
			case c.By.Kind == "probe":
				probes[c.By.Name] = c.Src
			default:
				others = append(others, *c.SPort)
			}
		}
		return len(probes) == 2
	})
	if probes["isp1"] != "192.0.2.2" || probes["isp2"] != "198.51.100.2" || !slices.Contains(others, own.LocalAddr().Port()) {
		t.Errorf("probes %v, and others from ports %v, the program's is %d", probes, others, own.LocalAddr().Port())
	}
}

// probesTraced compares what probes some packets are with these uplinks: of 20 there are some of
// each.
func (w *watched) probesTraced(t *testing.T, in, dev, end, target string, uplinks ...string) {
	t.Helper()
	named := map[string]int{}
	for _, p := range w.startTrace(in, dev, end, target, "--proto", "icmp", "--count", "20").end() {
		named[text(p.Probe)]++
	}
	for _, uplink := range uplinks {
		if named[uplink] == 0 {
			t.Errorf("no probe of %s: %v", uplink, named)
		}
	}
	if len(named) != len(uplinks) {
		t.Errorf("probes of %v, wanted %v", named, uplinks)
	}
}
