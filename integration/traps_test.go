package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// Cases that random policies found once, in their smallest form.

// trapNet is a router under a policy that adds to twoUplinks, with one host and two providers that
// answer.
func trapNet(t *testing.T, more string) *scenario {
	t.Helper()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	s := &scenario{Net: n, t: t, router: newRouter(n.Router)}
	s.router.apply(twoUplinks + more)
	s.readMarks()
	return s
}

// IPv6 has the DSCP across two bytes; a list of code points has to match all of its values and no
// other, as pbr loads it and as nft does. nft shifts the bytes for a set or an interval, and
// releases differ in how, so that there has to be none in the text.
func TestTextOfDSCPList(t *testing.T) {
	t.Parallel()
	s := trapNet(t, `
[[policy]]
name = "realtime"
dscp = ["ef", "cs1", "0", "30-33"]
src = ["192.168.10.12", "2001:db8:10::12"]
uplink = "isp2"
`)
	check := func(loaded string) {
		t.Helper()
		s.router.Run("conntrack", "-F")
		for _, row := range []struct {
			dscp   int
			pinned bool
		}{{46, true}, {8, true}, {0, true}, {31, true}, {33, true}, {34, false}, {10, false}, {29, false}} {
			for src, dst := range map[string]string{"192.168.10.12": "9.9.%d.9", "2001:db8:10::12": "2001:db8:ffff::%d"} {
				dst = fmt.Sprintf(dst, row.dscp)
				s.LANs["lan"].Run("ping", "-n", "-c", "1", "-W", "2", "-Q", fmt.Sprint(row.dscp<<2), "-I", src, dst)
				family, proto := "ipv4", "icmp"
				if strings.Contains(dst, ":") {
					family, proto = "ipv6", "icmpv6"
				}
				out := s.router.Run("conntrack", "-L", "-f", family, "-p", proto, "-d", dst)
				if got := containsField(out, fmt.Sprintf("mark=%d", s.pin("isp2"))); got != row.pinned {
					t.Errorf("loaded by %s: DSCP %d from %s: pinned to isp2: %v, has to be %v\n%s", loaded,
						row.dscp, src, got, row.pinned, out)
				}
			}
		}
	}
	check("pbr")
	text := s.router.must("compile", "--dry-run")
	s.router.must("flush")
	s.router.RunInput(text, "sh")
	check("the script")
	s.router.inSync()
}

// A rule for a user is for that user's sockets; the kernel takes forwarded packets for root's.
func TestRuleForRootLeavesForwardedPackets(t *testing.T) {
	t.Parallel()
	s := trapNet(t, `
[[rule]]
name = "root"
uid = 0
uplink = "isp2"
`)
	s.check([]flow{
		{name: "forwarded", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:53", isp: "isp1", nat: "192.0.2.2"},
		{name: "root's", from: "router", network: "udp", dst: "9.9.9.9:53", isp: "isp2", nat: "198.51.100.2", pin: "isp2"},
		{name: "another user's", from: "router", network: "udp", dst: "9.9.9.9:53", opt: lab.DialOptions{UID: 1001},
			isp: "isp1", nat: "192.0.2.2"},
	})
}

// Saying a thing twice is not an error.
func TestRepeatedSelectors(t *testing.T) {
	t.Parallel()
	s := trapNet(t, `
[[rule]]
name = "twice"
src = ["192.168.10.12", "192.168.10.12/32", "192.168.10.12-192.168.10.12"]
proto = ["tcp", "tcp"]
dport = [443, "443", "440-450"]
uplink = "isp2"
[[policy]]
name = "twice"
src = ["192.168.10.10", "192.168.10.10/32"]
proto = ["udp", 17]
dport = [53, "53", "50-60"]
uplink = "isp2"
`)
	s.router.inSync()
	s.check([]flow{
		{name: "rule", from: "lan", network: "tcp", src: "192.168.10.12", dst: "9.9.9.9:443", isp: "isp2",
			nat: "198.51.100.2", pin: "isp2"},
		{name: "policy", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:53", isp: "isp2",
			nat: "198.51.100.2", pin: "isp2"},
	})
}

// A connection that came in by default's primary uplink is answered there, also when a stateless
// rule would send the server's packets elsewhere.
func TestInboundByPrimaryDespiteRules(t *testing.T) {
	t.Parallel()
	s := trapNet(t, `
[[rule]]
name = "server-by-isp2"
src = "192.168.10.10"
uplink = "isp2"
`)
	s.serve("lan", "192.168.10.10")
	s.check([]flow{{name: "the server's own", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:53",
		isp: "isp2", nat: "198.51.100.2", pin: "isp2"}})
	s.checkInbound(s.inboundRows("lan"))
}

// nft joins neighbouring matches into one when it loads a text; the result is still the plan.
func TestTextOfNeighbouringMatches(t *testing.T) {
	t.Parallel()
	textEqualsNetlink(newRouter(bench(lab.New(t)).Router), twoUplinks+`
[[policy]]
name = "both-ports"
proto = "udp"
sport = 500
dport = 500
uplink = "isp2"
[[policy]]
name = "both-ports-of-any"
src = "192.168.10.10"
dst = "9.9.9.9"
sport = 443
dport = 8080
uplink = "isp2"
[[policy]]
name = "both-ipv6"
src = "2001:db8:10::10"
dst = "2001:db8:ffff::9"
uplink = "isp2"
`)
}

// A script removes hundreds of older rules: they do not fit into one answer of the kernel's.
func TestScriptAfterManyRules(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	var many strings.Builder
	for i := range 1000 {
		a := netip.AddrFrom4([4]byte{10, 20, byte(i >> 7), byte(2 * i)}) // no two are neighbours
		fmt.Fprintf(&many, "%q, ", a)
	}
	for _, policy := range []string{
		twoUplinks + "[[rule]]\nname = \"many\"\nuplink = \"isp2\"\nsrc = [" + many.String() + "]\n",
		twoUplinks,
	} {
		r.write(policy)
		r.RunInput(r.must("compile", "--dry-run"), "sh")
		if res := r.pbr("diff"); res.Code != 0 {
			t.Errorf("after the script: pbr diff: exit status %d, %d lines", res.Code, strings.Count(res.Stdout, "\n"))
		}
	}
}

// Tunnels share a load too, in both families: the kernel takes IPv6 device routes into no multipath
// route.
func TestECMPOverTunnel(t *testing.T) {
	t.Parallel()
	textEqualsNetlink(newRouter(bench(lab.New(t)).Router), strings.Replace(twoUplinks, "[default]", `[[uplink]]
name = "vpn"
interface = "tun0"
nat = "masquerade"
[[table]]
name = "shared"
routes = [{ uplink = "isp1" }, { uplink = "vpn" }]
[[policy]]
name = "shared"
dst = ["9.9.9.0/24", "2001:db8:ffff::/48"]
table = "shared"
[default]`, 1))
}
