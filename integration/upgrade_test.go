package integration

import (
	"cmp"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// oldEnv names the program of an earlier release, which make test-upgrade builds. Without it the
// upgrade is from the program to itself.
const oldEnv = "PBR_OLD"

// A new release takes over what an earlier one has applied, while connections of both directions
// send, and loses none of their packets to another uplink: its ruleset may have another shape, and
// its marks another layout.
func TestUpgradeUnderTraffic(t *testing.T) {
	t.Parallel()
	old := cmp.Or(os.Getenv(oldEnv), pbrPath)
	n := newEditNet(t)
	r, lan := newRouter(n.Router), n.LANs["lan"]
	lan.ServeEcho(serverPort)
	// Where the connection from outside is from, too.
	outside := netip.MustParseAddr("8.8.4.4")
	for _, isp := range n.ISPs {
		isp.NFT(strings.Replace(strayTable, "{ 9.9.9.12,", "{ "+outside.String()+", 9.9.9.12,", 1))
	}
	r.NFT(portForwarding("192.168.10.11"))
	for _, nat := range []string{"masquerade", "none"} {
		policy := numbering{0xff000000, 10000, "specific", "isp2", "secret", "second", nat, nil}
		r.Run("conntrack", "-F")
		r.must("flush")
		r.write(policy.text())
		r.Run(old, "--config", r.file, "apply")
		r.upgrade(n, lan, outside, nat, r.insideBitOf(old))
	}
}

// upgrade applies the policy that an earlier release has applied, while connections send. inside is
// the bit that the marks of the earlier release have for those from inside.
func (r *router) upgrade(n *lab.Net, lan *lab.Host, outside netip.Addr, nat string, inside uint32) {
	t := r.T().(*testing.T)
	t.Helper()
	strays := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"])
	tr := startTraffic(t, lan)
	inbound := n.ISPs["isp2"].Stream(outside, netip.MustParseAddrPort("198.51.100.2:8000"), 4*time.Millisecond)
	tr.streams = append(tr.streams, inbound)
	lab.WaitFor(t, "an answer to the connection from outside", func() bool { return inbound.Tale().Answered > 0 })
	time.Sleep(trafficBefore)
	r.must("apply")
	time.Sleep(trafficAfter)
	answered := inbound.Tale().Answered
	lab.WaitFor(t, "another answer", func() bool { return inbound.Tale().Answered > answered })
	tr.end()
	if more := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"]) - strays; more > 0 {
		t.Errorf("nat %s: %d packets left by another uplink", nat, more)
	}
	checkMarks(t, "nat "+nat, r.marksByDestination(), r.markOf("isp2/strict"), r.markOf("isp2"), inside, 0)
	r.inSync()
}

// An earlier release takes over what this one has applied, and finds the marks of connections in
// the journal. One that does not know the bit for connections from inside needs the table of
// docs/ha.md first.
func TestDowngradeUnderTraffic(t *testing.T) {
	t.Parallel()
	old := cmp.Or(os.Getenv(oldEnv), pbrPath)
	n := newEditNet(t)
	r, lan := newRouter(n.Router), n.LANs["lan"]
	for _, isp := range n.ISPs {
		isp.NFT(strayTable)
	}
	table := docsBlock(t, "ha.md", "[[table]]\nname = \"no-inside-bit\"")
	for _, c := range []struct{ nat, table string }{{"none", ""}, {"masquerade", table}} {
		policy := numbering{0xff000000, 10000, "specific", "isp2", "secret", "second", c.nat, nil}
		r.Run("conntrack", "-F")
		r.must("flush")
		r.apply(policy.text())
		inside := r.insideBit()
		if c.table == "" && r.insideBitOf(old) != inside {
			continue // -- packets go astray
		}
		strays := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"])
		tr := startTraffic(t, lan)
		time.Sleep(trafficBefore)
		if c.table != "" {
			r.apply(policy.text() + c.table)
			if bit := r.insideBit(); bit != 0 || inside == 0 {
				t.Errorf("the inside bit is %#x, and %#x with the table", inside, bit)
			}
			checkMarks(t, "with the table", r.marksByDestination(), r.markOf("isp2/strict"), r.markOf("isp2"), 0, 0)
		}
		r.Run(old, "--config", r.file, "apply")
		time.Sleep(trafficAfter)
		tr.end()
		if more := seen(t, n.ISPs["isp1"]) + seen(t, n.ISPs["isp3"]) - strays; more > 0 {
			t.Errorf("nat %s, table %q: %d packets left by another uplink", c.nat, c.table, more)
		}
	}
}
