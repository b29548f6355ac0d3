package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// guarded is stateful with a firewall as most have it: it lets no new connection in from uplinks.
var guarded = strings.Replace(stateful, "ct state new accept;", `iifname "br-lan" ct state new accept;`, 1)

// TestLateAnswerToAStrictConnection: a connection that a strict policy forbids is older than the
// table, and nothing translated it. Long after apply deleted it, its far end sends. If the firewall
// lets new connections in from uplinks, this begins one, and what the host inside sends belongs to
// it: apply says so. Otherwise nothing leaks.
func TestLateAnswerToAStrictConnection(t *testing.T) {
	t.Parallel()
	inside, far := netip.MustParseAddr("2001:db8:10::12"), netip.MustParseAddr("2001:db8:ffff::4")
	w := olderNet(t)
	arrivals := fmt.Sprintf("table inet leak { chain pre { type filter hook prerouting priority -350; ip6 daddr %s counter; }; }\n", far)
	w.ISPs["isp2"].NFT(arrivals)
	w.Router.NFT(strings.Replace(arrivals, "ip6 daddr", "iifname wan1 ip6 saddr", 1))
	send := func(n int) {
		t.Helper()
		before := packetsIn(w.ISPs["isp1"]) + packetsIn(w.ISPs["isp2"])
		for range n {
			if err := w.lan.SendUDP(inside, 5555, netip.AddrPortFrom(far, 4000), 0, 0, 1); err != nil {
				t.Fatal(err)
			}
		}
		lab.WaitFor(t, "the packets at the providers", func() bool {
			return packetsIn(w.ISPs["isp1"])+packetsIn(w.ISPs["isp2"]) >= before+n
		})
	}
	for _, c := range []struct {
		name, firewall string
		leaks          int
	}{
		{"the firewall lets nothing in", guarded, 0},
		{"the firewall lets everything in", stateful, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.router.must("flush")
			w.Router.Exec("conntrack", "-F")
			w.Router.NFT("delete table inet fw\n" + c.firewall)
			send(1)
			said := w.router.pbr("apply")
			says(t, said, 0, "strict policies: 1 older connection deleted", "let the firewall drop new connections from uplinks")
			w.ISPs["isp1"].Exec("conntrack", "-F") // -- which would take the answer for one, and change its port
			begun := packetsIn(w.Router)
			if err := w.ISPs["isp1"].SendUDP(far, 4000, netip.AddrPortFrom(inside, 5555), 0, 0, 2); err != nil {
				t.Fatal(err)
			}
			lab.WaitFor(t, "the late answer", func() bool { return packetsIn(w.Router) > begun })
			before := w.leaked()
			send(3)
			if n := w.leaked() - before; n != c.leaks {
				t.Errorf("%d packets came to the first provider, not %d\n%s", n, c.leaks, w.Router.Run("conntrack", "-L", "-f", "ipv6"))
			}
		})
	}
}
