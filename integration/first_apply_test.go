package integration

import (
	"net/netip"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// TestFirstApplyBesideOthersNAT: a router whose main table leads to the second provider, and whose
// connections somebody else's rules masquerade, gets a policy whose default is the first one.
// Connections that send meanwhile stay with the second provider, with their address and port. None
// of their packets may leave through the first one, because that would end them.
func TestFirstApplyBesideOthersNAT(t *testing.T) {
	t.Parallel()
	w := newWatched(t, olderPolicy+manyPolicies(500), 2)
	w.Router.NFT(stateful)
	w.Router.NFT("table inet home { chain post { type nat hook postrouting priority srcnat; oifname { wan1, wan2 } masquerade; }; }\n")
	w.Router.IP("route add default via 198.51.100.1 dev wan2")
	w.Router.IP6("route add default via 2001:db8:f2::1 dev wan2")
	var streams []*lab.Stream
	var calls []*lab.Conn
	var before []lab.Seen
	for _, pair := range [][2]string{
		{"192.168.10.10", "198.18.1.1:80"}, {"192.168.10.11", "198.18.1.1:80"}, {"192.168.10.12", "198.18.1.1:80"},
		{"2001:db8:10::10", "[2001:db8:ffff::1]:80"}, {"2001:db8:10::11", "[2001:db8:ffff::1]:80"},
	} {
		src, dst := netip.MustParseAddr(pair[0]), netip.MustParseAddrPort(pair[1])
		streams = append(streams, w.lan.Stream(src, dst, 2*time.Millisecond))
		c, err := w.lan.Dial("tcp", src, dst, lab.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		seen, err := c.Ask()
		if err != nil || seen.By != "isp2" {
			t.Fatalf("%v: %v, %v", src, seen, err)
		}
		calls, before = append(calls, c), append(before, seen)
	}
	for _, s := range streams {
		lab.WaitFor(t, "the streams to be answered", func() bool { return s.Tale().Answered > 0 })
	}
	w.router.must("apply")
	step := steps.Of(t)
	step.Run("TCP connections go on with their address and port", func(t *testing.T) {
		for i, c := range calls {
			if seen, err := c.Ask(); err != nil || seen != before[i] {
				t.Errorf("%v: was %v, is %v, %v", c.LocalAddr(), before[i], seen, err)
			}
		}
	})
	step.Run("streams stay with their provider", func(t *testing.T) {
		for _, s := range streams {
			if tale := s.Stop(); tale.By["isp1"] > 0 || tale.By["isp2"] == 0 {
				t.Errorf("a stream: %v", tale)
			}
		}
	})
	step.Run("new connections follow the policy", func(t *testing.T) {
		for src, isp := range map[string]string{"192.168.10.10": "isp1", "192.168.10.11": "isp2", "192.168.10.12": "isp2"} {
			seen, err := w.lan.AskOnce("tcp", netip.MustParseAddr(src), netip.MustParseAddrPort("198.18.1.1:80"), lab.DialOptions{})
			if err != nil || seen.By != isp {
				t.Errorf("%s: %v, %v", src, seen, err)
			}
		}
	})
	w.router.inSync()
}
