package integration

import (
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// TestWatchSettings: with reverse-path = "nft" a policy's answers are dropped as soon as somebody
// sets rp_filter; pbr watch is reported it, and of forwarding, and does not wait for its next look
// at everything.
func TestWatchSettings(t *testing.T) {
	t.Parallel()
	w := startWatched(t, "[pbr]\nreverse-path = \"nft\"\nsysctl = true\n"+watchPolicy, 2)
	for _, set := range []struct{ path, value string }{
		{"net/ipv4/conf/all/rp_filter", "1"}, {"net/ipv4/ip_forward", "0"}, {"net/ipv4/conf/wan1/ignore_routes_with_linkdown", "0"},
	} {
		t.Run(set.path, func(t *testing.T) {
			before := w.Router.ReadSysctl(set.path)
			if before == set.value {
				t.Fatalf("%s is %s already", set.path, before)
			}
			w.Router.Sysctl(set.path, set.value)
			began := time.Now()
			if !lab.Eventually(lab.Patience(3*time.Second), func() bool { return w.Router.ReadSysctl(set.path) == before }) {
				t.Errorf("%s is still %s", set.path, w.Router.ReadSysctl(set.path))
				return
			}
			t.Logf("%s repaired after %v", set.path, time.Since(began).Round(time.Millisecond))
			w.logged("somebody else changed", set.path+" set to "+set.value)
		})
	}
	t.Run("policies work meanwhile", func(t *testing.T) {
		if by := w.arrives(bySecond); by != "isp2" {
			t.Errorf("a policy's connection arrives at %q", by)
		}
	})
	t.Run("each change is repaired once", func(t *testing.T) {
		if n := strings.Count(w.log.text(), "somebody else changed"); n > 4 {
			t.Errorf("%d repairs of 3 changes", n)
		}
	})
}
