package integration

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// offloadPolicy is watchPolicy with offload, and the settings that move traffic without a daemon.
func offloadPolicy(offload string) string {
	return "[pbr]\nsysctl = true\noffload = " + offload + "\n" + strings.Replace(watchPolicy, `src = ["192.168.10.11",`,
		`src = ["192.168.10.11", "192.168.20.11",`, 1)
}

// passing counts, in a table of somebody else's, the packets to and from farEnd's port that pass
// the router's chains. What is offloaded does not.
const passing = `table inet passing {
	counter seen { }
	chain pre {
		type filter hook prerouting priority -350
		meta l4proto { tcp, udp } th dport { 7777, 2000 } counter name seen
		meta l4proto { tcp, udp } th sport { 7777, 2000 } counter name seen
	}
}
`

// offloadRig is a router that may offload, without a daemon.
type offloadRig struct{ *watched }

func newOffloadRig(t *testing.T, policy string) *offloadRig {
	t.Helper()
	lab.NeedKernel(t, "nf_flow_table")
	rig := &offloadRig{newWatched(t, policy, 2)}
	rig.Router.NFT(passing)
	rig.Router.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	rig.Router.ServeEcho(serverPort)
	return rig
}

// passed is how many packets passed the chains since the last call.
func (r *offloadRig) passed() int {
	r.t.Helper()
	m := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(r.Router.Run("nft", "reset", "counter", "inet", "passing", "seen"))
	if m == nil {
		r.t.Fatal("no counter")
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// talk is a connection that is under way.
type talk struct {
	*lab.Conn
	rig  *offloadRig
	name string
	// seen is what the server said first.
	seen lab.Seen
}

// ask asks the server, again if a packet was lost, as one is when the way of a masqueraded
// connection changes.
func (c *talk) ask() (seen lab.Seen, err error) {
	for range 10 {
		if seen, err = c.Ask(); err == nil {
			return seen, nil
		}
	}
	return seen, err
}

// answered asks n times, and fails the test unless it is always the same server that sees the same
// client.
func (c *talk) answered(n int) {
	c.rig.t.Helper()
	for range n {
		if seen, err := c.ask(); err != nil || seen != c.seen {
			c.rig.t.Errorf("%s: %v by %s (%v), at first it was %v by %s", c.name, seen.Src, seen.By, err, c.seen.Src, c.seen.By)
			return
		}
	}
}

// entry is conntrack's line about the connection.
func (c *talk) entry() string {
	c.rig.t.Helper()
	return c.rig.entry(c.LocalAddr())
}

func (r *offloadRig) entry(from netip.AddrPort) string {
	r.t.Helper()
	family := "ipv4"
	if from.Addr().Is6() {
		family = "ipv6"
	}
	for _, line := range strings.Split(r.Router.Run("conntrack", "-L", "-f", family), "\n") {
		if strings.Contains(line, fmt.Sprintf("src=%s ", from.Addr())) && strings.Contains(line, fmt.Sprintf("sport=%d ", from.Port())) {
			return line
		}
	}
	return ""
}

// talk begins a connection from a host of the LAN, and fails the test unless it goes by that
// provider.
func (r *offloadRig) talk(from *lab.Host, network string, src netip.Addr, dst netip.AddrPort, isp string) *talk {
	r.t.Helper()
	c := &talk{rig: r, name: fmt.Sprintf("%s %s from %s by %s", network, dst, src, isp)}
	var err error
	if !lab.Eventually(20*time.Second, func() bool {
		c.Conn, err = from.Dial(network, src, dst, lab.DialOptions{})
		return err == nil
	}) {
		r.t.Fatalf("%s: %v", c.name, err)
	}
	if c.seen, err = c.ask(); err != nil || c.seen.By != isp {
		r.t.Fatalf("%s: answered by %q (%v)\n%s", c.name, c.seen.By, err, r.routesText())
	}
	return c
}

// checkOffloaded fails the test unless the connection's packets, both ways, go past the chains, or
// pass them all.
func (r *offloadRig) checkOffloaded(c *talk, want bool) {
	r.t.Helper()
	const questions = 12
	c.answered(2)
	r.passed()
	c.answered(questions)
	passed, entry := r.passed(), c.entry()
	switch {
	case want && (passed > 2 || !strings.Contains(entry, "[OFFLOAD]")):
		r.t.Errorf("%s: %d of %d packets passed the chains, conntrack says %s\n%s", c.name, passed, 2*questions,
			entry, r.Router.Run("nft", "list", "flowtables"))
	case !want && (passed < 2*questions || strings.Contains(entry, "[OFFLOAD]")):
		r.t.Errorf("%s: offloaded: %d of %d packets passed the chains, conntrack says %s", c.name, passed, 2*questions, entry)
	}
}

// far is a server beyond the providers, of the family of an address.
func far(src netip.Addr) netip.AddrPort {
	if src.Is6() {
		return netip.MustParseAddrPort("[2001:db8:ffff::99]:7777")
	}
	return farEnd
}
