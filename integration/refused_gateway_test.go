package integration

import (
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// A gateway that the kernel refuses keeps out its uplink for this IP version, and nothing else. All
// commands say so.
func TestRefusedGateway(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	routes := func() (out string) {
		for _, family := range []string{"-4", "-6"} {
			out += r.Run("ip", family, "route", "show", "table", "all", "proto", "112")
		}
		return out
	}
	step := steps.Of(t)
	step.Run("another interface has the uplink's IPv6 prefix", func(t *testing.T) {
		r.IP("address del 2001:db8:f2::2/64 dev wan2")
		r.IP("address add 2001:db8:f2::9/64 dev br-lan nodad")
		r.write(strings.ReplaceAll(twoUplinks, "nat = \"masquerade\"", "nat = \"masquerade\"\nnat6 = \"none\""))
		why := "the kernel refuses gateway 2001:db8:f2::1 on wan2, because main routes 2001:db8:f2::/64 through br-lan"
		says(t, r.pbr("check", "--live"), 0, why, "refused-gateway")
		says(t, r.pbr("apply"), 0, "uplink isp2 deferred: "+why)
		for command, words := range map[string]string{"diff": "deferred: uplink isp2: " + why, "doctor": why, "status": "no-gateway"} {
			if res := r.pbr(command); !strings.Contains(res.Stdout, words) {
				t.Errorf("no %q in %s:\n%s%s", words, command, res.Stdout, res.Stderr)
			}
		}
		if now := routes(); strings.Contains(now, "via 2001:db8:f2::1") || !strings.Contains(now, "via 198.51.100.1") ||
			!strings.Contains(now, "via 2001:db8:f1::1") {
			t.Errorf("routes:\n%s", now)
		}
	})
	step.Run("the command that it says helps", func(t *testing.T) {
		r.IP6("route add 2001:db8:f2::1 dev wan2")
		r.must("apply")
		if now := routes(); !strings.Contains(now, "via 2001:db8:f2::1") {
			t.Errorf("routes:\n%s", now)
		}
		r.inSync()
	})
	step.Run("a broadcast address", func(t *testing.T) {
		r.write(strings.Replace(twoUplinks, "gateway = \"198.51.100.1\"", "gateway = \"198.51.100.255\"", 1))
		says(t, r.pbr("apply"), 0, "uplink isp2 deferred: the kernel refuses gateway 198.51.100.255: it is the broadcast address")
		if now := routes(); strings.Contains(now, "via 198.51.100") || !strings.Contains(now, "via 192.0.2.1") {
			t.Errorf("routes:\n%s", now)
		}
	})
}
