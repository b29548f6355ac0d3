package integration

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// olderPolicy sends host .11 through isp2, and host .12 and some of the router's own through isp2
// or not at all; the rest through isp1.
const olderPolicy = `
[pbr]
offload = "off"
` + ispsBoth + `[[table]]
name = "second"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[[table]]
name = "secret"
strict = true
routes = { uplink = "isp2" }
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[policy]]
name = "strict"
src = ["192.168.10.12", "2001:db8:10::12"]
table = "secret"
[[policy]]
name = "strict-router"
from = "local"
dst = ["198.18.3.3", "2001:db8:ffff::3"]
table = "secret"
[[policy]]
name = "second"
src = ["192.168.10.11", "2001:db8:10::11"]
table = "second"
`

// stateful is a firewall, because of which connections are tracked before pbr comes.
const stateful = `table inet fw {
	chain through { type filter hook forward priority 0; policy drop; ct state established,related accept; ct state new accept; };
	chain into { type filter hook input priority 0; ct state established,related accept; };
}
`

// olderNet is a network with the firewall, main's default routes by isp1, and counters of what of
// strict flows comes to isp1.
func olderNet(t *testing.T) *watched {
	t.Helper()
	w := newWatched(t, olderPolicy, 2)
	w.Router.NFT(stateful)
	w.Router.IP("route add default via 192.0.2.1 dev wan1")
	w.Router.IP6("route add default via 2001:db8:f1::1 dev wan1")
	w.ISPs["isp1"].NFT(`table inet leak { chain pre { type filter hook prerouting priority -350;
	meta l4proto { tcp, udp } ip daddr { 198.18.3.3, 198.18.4.4 } counter
	meta l4proto { tcp, udp } ip6 daddr { 2001:db8:ffff::3, 2001:db8:ffff::4 } counter
}; }
`)
	return w
}

// TestFlowsOlderThanTheTable: flows that were there before the first apply, after which none is
// stuck, and no strict one leaks.
func TestFlowsOlderThanTheTable(t *testing.T) {
	t.Parallel()
	w := olderNet(t)
	f := w.flood(12)
	f.tracked()
	out := w.router.must("apply")
	f.allAnswered("first apply")
	if !strings.Contains(out, "older than the table flushed") {
		t.Errorf("apply says nothing of it:\n%s", out)
	}
	before := w.entries()
	w.router.must("apply")
	w.unchanged(before, "another apply")
	w.router.write(olderPolicy + firstTunnel)
	if out := w.router.must("apply"); strings.Contains(out, "older than the table") || !strings.Contains(out, "chain") {
		t.Errorf("an edit with a base chain that was not there:\n%s", out)
	}
	w.unchanged(before, "an edit")
}

// firstTunnel gives the policy its first uplink without a gateway, which needs a base chain more,
// and keeps new connections of a host in it that has running ones.
const firstTunnel = `
[[uplink]]
name = "vpn"
interface = "tun9"
gateway = "link"
[[policy]]
name = "into-vpn"
src = ["192.168.10.10", "2001:db8:10::10"]
uplink = "vpn"
strict = true
`

// unchanged fails the test if a connection has another address, port or mark than before.
func (w *watched) unchanged(before map[string]entry, when string) {
	w.t.Helper()
	now := w.entries()
	for key, e := range before {
		if now[key] != e {
			w.t.Errorf("%s: %+v became %+v", when, e, now[key])
		}
	}
}

// TestFlushWhileWatched: somebody's "flush ruleset" under traffic, as the start of Debian's
// nftables.conf has it. When the repair is reported no flow is stuck, no strict one leaks, and
// those that were there before keep their port.
func TestFlushWhileWatched(t *testing.T) {
	t.Parallel()
	w := olderNet(t)
	w.start()
	w.waitState("isp1", "up")
	w.waitState("isp2", "up")
	f := w.flood(12)
	f.allAnswered("new flows")
	for round := range 3 {
		repairs := w.repairs()
		w.Router.RunInput("flush ruleset\n"+stateful, "nft", "-f", "-")
		lab.WaitFor(t, "the repair", func() bool {
			return w.repairs() > repairs && w.router.pbr("diff").Code == 0
		})
		f.allAnswered(fmt.Sprintf("repair %d", round))
	}
}

// manyPolicies returns policies that match nothing of a flood, and that take time to load.
func manyPolicies(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "[[policy]]\nname = \"p%d\"\nproto = \"tcp\"\nsrc = \"10.%d.%d.0/24\"\ndport = %d\ntable = \"second\"\n",
			i, i/250, i%250, 1000+i)
	}
	return b.String()
}

// TestPinnedFlowsOutliveTheTable: the table is gone and comes back, while flows continue that are
// pinned to the second provider and translated. The kernel ends a masqueraded connection whose
// packet leaves through another interface, so none of their packets may come to the rules that
// translate before those that give them their mark are in force.
func TestPinnedFlowsOutliveTheTable(t *testing.T) {
	t.Parallel()
	w := olderNet(t)
	w.router.write(olderPolicy + manyPolicies(3000))
	w.router.must("apply")
	f := w.flood(12)
	f.allAnswered("applied")
	before := w.ids()
	// First what translates: the rules that give marks must not go before it here, either.
	w.Router.NFT("delete chain inet pbr postrouting\ndelete chain inet pbr source-nat\n")
	w.Router.RunInput("flush ruleset\n"+stateful, "nft", "-f", "-")
	w.router.must("apply")
	now, pinned := w.ids(), 0
	for flow, id := range before {
		if !strings.Contains(flow, "dst=198.51.100.2") && !strings.Contains(flow, "dst=2001:db8:f2::2") {
			continue
		}
		if pinned++; now[flow] != id {
			t.Errorf("%s was ended", flow)
		}
	}
	if pinned != 72 {
		t.Errorf("%d flows were pinned to the second provider", pinned)
	}
	f.allAnswered("applied again")
}

var repaired = regexp.MustCompile(`"repairs": *(\d+)`)

// repairs returns how many repairs pbr watch says that it has done.
func (w *watched) repairs() (n int) {
	if m := repaired.FindStringSubmatch(w.router.pbr("status", "--json").Stdout); m != nil {
		_, _ = fmt.Sscan(m[1], &n)
	}
	return n
}

// TestFlowsBornWithoutTable: the table is removed while nobody watches, flows begin, and then the
// watch comes.
func TestFlowsBornWithoutTable(t *testing.T) {
	t.Parallel()
	w := olderNet(t)
	w.router.must("apply")
	w.Router.RunInput("flush ruleset\n"+stateful, "nft", "-f", "-")
	f := w.flood(12)
	f.tracked()
	w.start()
	w.logged("applied the policy", "older than the table")
	f.allAnswered("watch started")
	w.router.inSync()
}

// TestOlderConnectionsThatWork keep uplink, address and port: those that something else translated,
// and those from outside.
func TestOlderConnectionsThatWork(t *testing.T) {
	t.Parallel()
	w := olderNet(t)
	w.Router.NFT(`table inet home {
	chain post { type nat hook postrouting priority srcnat; oifname { wan1, wan2 } masquerade fully-random; };
	chain pre { type nat hook prerouting priority dstnat; iifname { wan1, wan2 } udp dport 5000 dnat ip to 192.168.10.10:7; };
}
`)
	// Half of the internet is by the second provider, so that some carry its address.
	w.Router.IP("route add 198.19.0.0/16 via 198.51.100.1 dev wan2", "route add default via 198.51.100.1 table 77",
		"rule add priority 101 from 198.51.100.2 lookup 77")
	w.lan.ServeEcho(7)
	var calls []*lab.Conn
	var before []lab.Seen
	dial := func(network, src, dst, by string) {
		t.Helper()
		from, addr := w.Router, netip.Addr{}
		if src != "" {
			from, addr = w.lan, netip.MustParseAddr(src)
		}
		c, err := from.Dial(network, addr, netip.MustParseAddrPort(dst), lab.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		seen, err := c.Ask()
		if err != nil || seen.By != by {
			t.Fatalf("%s to %s: %v, %v", src, dst, seen, err)
		}
		calls, before = append(calls, c), append(before, seen)
	}
	for _, network := range []string{"tcp", "udp"} {
		for _, src := range []string{"192.168.10.10", "192.168.10.11", ""} {
			dial(network, src, "198.18.1.1:80", "isp1")
			dial(network, src, "198.19.1.1:80", "isp2")
		}
		dial(network, "192.168.10.12", "198.19.1.1:80", "isp2") // strict, and on its uplink
		dial(network, "2001:db8:10::11", "[2001:db8:ffff::1]:80", "isp1")
	}
	// From outside, by the second provider, to a port that is forwarded.
	outside, err := w.ISPs["isp2"].Dial("udp", netip.MustParseAddr("198.18.7.7"),
		netip.MustParseAddrPort("198.51.100.2:5000"), lab.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_ = outside.Send() // its answer goes to isp1
	step := steps.Of(t)
	step.Run("an apply moves none of them, from inside or outside", func(t *testing.T) {
		w.router.must("apply")
		for i, c := range calls {
			if seen, err := c.Ask(); err != nil || seen != before[i] {
				t.Errorf("%v: was %v, is %v, %v", c.LocalAddr(), before[i], seen, err)
			}
		}
		if seen, err := outside.Ask(); err != nil || seen.By != "lan" {
			t.Errorf("from outside: %v, %v", seen, err)
		}
	})
	step.Run("without their routes each stays on its uplink, by its mark alone", func(t *testing.T) {
		w.Router.IP("route del 198.19.0.0/16 via 198.51.100.1 dev wan2", "rule del priority 101")
		for i, c := range calls {
			if seen, err := c.Ask(); err != nil || seen != before[i] {
				t.Errorf("without the routes: %v: was %v, is %v, %v", c.LocalAddr(), before[i], seen, err)
			}
		}
	})
}

// TestTimeToConfirmBeginsAfterTheApply: an apply that has connections to flush takes longer than
// the time after which it is undone, and the time counts from its end.
func TestTimeToConfirmBeginsAfterTheApply(t *testing.T) {
	t.Parallel()
	w := olderNet(t)
	f := w.flood(1)
	f.tracked()
	start := time.Now()
	out := w.router.must("apply", "--confirm", "1s")
	if !strings.Contains(out, "older than the table flushed") {
		t.Fatalf("it had nothing to wait for:\n%s", out)
	}
	lab.WaitFor(t, "the undo", func() bool { return w.Router.Exec("nft", "list", "table", "inet", "pbr").Code != 0 })
	// Apply drops answers for 1.3 s, see the kernel package's answerTime.
	if took := time.Since(start); took < 2300*time.Millisecond {
		t.Errorf("undone %v after the start of the apply", took)
	}
}
