package integration

import (
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// A connection of a strict table never leaves through default, also when the policy changes under
// it: when its uplink gets another name, or the marks another mask.
func TestStrictSurvivesChanges(t *testing.T) {
	t.Parallel()
	const strict = `
[[table]]
name = "secret"
strict = true
routes = { uplink = "isp2" }
[[policy]]
name = "kill"
src = "192.168.10.10"
table = "secret"
`
	s := trapNet(t, strict)
	// Without NAT: translated connections are ended by the kernel when they change their device.
	base := strings.NewReplacer(`nat = "masquerade"`, `nat = "none"`).Replace(twoUplinks) + strict
	s.router.apply(base)
	src, dst := netip.MustParseAddr("192.168.10.10"), netip.MustParseAddrPort("9.9.9.9:53")
	ask := func(t *testing.T, c *lab.Conn, when string) {
		t.Helper()
		// The packet that meets a connection just deleted may be lost to its old address.
		seen, err := c.Ask()
		for range 3 {
			if err != nil {
				seen, err = c.Ask()
			}
		}
		if err != nil || seen.By != "isp2" {
			t.Errorf("%s: answered by %q, %v", when, seen.By, err)
		}
	}
	conn, err := s.LANs["lan"].Dial("udp", src, dst, lab.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask(t, conn, "at first")
	s.ISPs["isp1"].NFT("table inet leak { chain in { type filter hook prerouting priority -300; " +
		"ip saddr { 192.168.10.10, 192.0.2.2 } ip daddr 9.9.9.9 counter comment \"leak\"; }; }")

	renamed := strings.ReplaceAll(base, `"isp2"`, `"tunnel"`)
	for _, change := range []struct{ what, policy string }{
		{"its uplink has another name", renamed},
		{"the marks have another mask", strings.Replace(renamed, "[pbr]", "[pbr]\nmark-mask = 0x00fff000", 1)},
		{"all as it was", base},
	} {
		t.Run(change.what, func(t *testing.T) {
			s.router.apply(change.policy)
			ask(t, conn, change.what)
			s.router.inSync()
		})
	}
	step := steps.Of(t)
	step.Run("nothing left by default", func(t *testing.T) {
		if out := s.ISPs["isp1"].Run("nft", "list", "table", "inet", "leak"); !strings.Contains(out, "packets 0 bytes 0") {
			t.Errorf("packets left by default:\n%s", out)
		}
	})
}
