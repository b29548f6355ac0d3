package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// strictHost is for twoUplinks: everything of one host by isp2 or not at all.
const strictHost = `
[[table]]
name = "secret"
strict = true
routes = { uplink = "isp2" }
[[policy]]
name = "kill"
src = ["192.168.10.12", "2001:db8:10::12"]
table = "secret"
`

// Packets that belong to no connection, because somebody keeps them out of conntrack or because
// they make no sense in one, keep to a strict table, too.
func TestPacketsOfNoConnectionStayStrict(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 12)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}, Silent: true,
	})
	r, wires := newRouter(n.Router), n.Wires()
	r.NFT("table inet raw { chain pre { type filter hook prerouting priority raw; udp sport 30001 notrack; }; }")
	r.apply(twoUplinks + strictHost)
	id := uint64(0)
	expect := func(t *testing.T, when, host, by string) {
		t.Helper()
		for _, p := range []lab.Packet{
			{Proto: lab.ProtoUDP, SPort: 30001, DPort: 53},               // untracked
			{Proto: lab.ProtoTCP, SPort: 30002, DPort: 443, TCPFlags: 0}, // invalid: no flags at all
			{Proto: lab.ProtoTCP, SPort: 30003, DPort: 443, TCPFlags: lab.TCPSyn | 1},
		} {
			for _, addrs := range [][2]string{{"192.168.10." + host, "9.9.9.9"}, {"2001:db8:10::" + host, "2001:db8:ffff::9"}} {
				id++
				p.ID, p.Src, p.Dst = id, netip.MustParseAddr(addrs[0]), netip.MustParseAddr(addrs[1])
				lab.Pinned(t, func() error {
					if err := wires["lan"].Send(p); err != nil {
						return err
					}
					return wires["lan"].AwaitDelivery()
				})
				var seen []string
				for _, isp := range []string{"isp1", "isp2"} {
					got, err := wires[isp].Drain()
					if err != nil && !strings.Contains(err.Error(), "network is down") {
						t.Fatal(err)
					}
					for _, x := range got {
						if x.ID == id {
							seen = append(seen, isp)
						}
					}
				}
				if fmt.Sprint(seen) != by {
					t.Errorf("%s: %v left by %v, not %s", when, p, seen, by)
				}
			}
		}
	}
	step := steps.Of(t)
	step.Run("both lines up", func(t *testing.T) {
		expect(t, "both lines up", "10", "[isp1]")
		expect(t, "both lines up", "12", "[isp2]")
	})
	step.Run("one is down: strict is refused", func(t *testing.T) {
		r.IP("link set wan2 down")
		expect(t, "isp2 down", "10", "[isp1]")
		expect(t, "isp2 down", "12", "[]")
	})
	step.Run("so it is after an apply", func(t *testing.T) {
		r.must("apply")
		expect(t, "isp2 down, applied", "12", "[]")
	})
}

// Where marks and rules come before main's routes the router still answers its LANs: from any of
// its addresses, and with errors for connections that are steered elsewhere.
func TestRouterAnswersInsideWithMainLast(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"off", "connected"} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			s := trapNet(t, "")
			s.router.apply(strings.Replace(twoUplinks, "[pbr]", "[pbr]\nmain-first = \""+first+"\"", 1) + strictHost)
			s.Router.ServeEcho(serverPort)
			for _, src := range []string{"192.168.10.10", "192.168.10.11", "192.168.10.12"} {
				for _, own := range []string{"192.168.10.1", "192.0.2.2", "198.51.100.2"} {
					c, err := s.LANs["lan"].Dial("udp", netip.MustParseAddr(src), netip.MustParseAddrPort(own+":2000"), lab.DialOptions{})
					if err != nil {
						t.Fatal(err)
					}
					if seen, err := c.Ask(); err != nil || seen.By != "router" {
						t.Errorf("%s asks %s: %q, %v", src, own, seen.By, err)
					}
					c.Close()
				}
				// The packet is marked for its uplink and ends here; the error is for a host
				// inside.
				out := s.LANs["lan"].Exec("ping", "-n", "-c", "1", "-W", "2", "-t", "1", "-I", src, "9.9.9.9").Stdout
				if !strings.Contains(out, "From 192.168.10.1 ") || !strings.Contains(out, "Time to live exceeded") {
					t.Errorf("no error for %s:\n%s", src, out)
				}
			}
		})
	}
}

// A LAN that is down is not looked for by main's default route: who is steered stays steered.
func TestNetworkThatIsDownWithMainConnected(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11), lab.LAN("guest", "br-guest", 20, 10)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	s := &scenario{Net: n, t: t, router: newRouter(n.Router)}
	n.LANs["guest"].ServeEcho(serverPort)
	s.router.IP("route add default via 192.0.2.1 dev wan1")
	s.router.apply(strings.Replace(twoUplinks, "[pbr]", "[pbr]\nmain-first = \"connected\"", 1))
	ask := func(when, want string) {
		t.Helper()
		c, err := n.LANs["lan"].Dial("udp", netip.MustParseAddr("192.168.10.11"),
			netip.MustParseAddrPort("192.168.20.10:2000"), lab.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if seen, err := c.Ask(); err != nil || seen.By != want {
			t.Errorf("%s: answered by %q, %v, not by %s", when, seen.By, err, want)
		}
	}
	ask("all up", "guest")
	s.router.IP("link set br-guest down")
	ask("the guests' network is down", "isp2")
	s.router.must("apply")
	ask("the guests' network is down, applied", "isp2")
	s.router.IP("link set br-guest up")
	s.router.must("apply")
	lab.WaitFor(t, "the guests' network", func() bool {
		return strings.Contains(s.router.Run("ip", "-br", "link", "show", "dev", "br-guest"), "LOWER_UP")
	})
	ask("up again", "guest")
}
