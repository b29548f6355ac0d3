package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"pbr/integration/lab"
)

// transit is a router between two providers, and what goes over the wires.
type transit struct {
	t     *testing.T
	r     *router
	wires map[string]*lab.Wire
	id    uint64
}

// checkLeaves sends a packet from a host, and fails the test unless it arrives at another one, and
// there alone.
func (x *transit) checkLeaves(what, from string, p lab.Packet, want string) {
	x.t.Helper()
	x.id++
	p.ID = x.id
	lab.Pinned(x.t, func() error {
		if err := x.wires[from].Send(p); err != nil {
			return err
		}
		return x.wires[from].AwaitDelivery()
	})
	var hosts []string
	for _, host := range []string{"isp1", "isp2"} {
		got, err := x.wires[host].Drain()
		if err != nil {
			x.t.Fatal(err)
		}
		for _, o := range got {
			if o.ID == p.ID {
				hosts = append(hosts, host)
			}
		}
	}
	if fmt.Sprint(hosts) != "["+want+"]" {
		x.t.Errorf("%s: a packet from %s arrives at %v, not %s", what, from, hosts, want)
	}
}

// A connection from uplink to uplink is none from inside: its mark lacks the bit. Its packets of
// both directions leave through the uplinks that the routes name, whichever of the two is pinned.
func TestConnectionFromUplinkToUplink(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}, Silent: true,
	})
	x := &transit{t: t, r: newRouter(n.Router), wires: n.Wires()}
	x.r.IP("route add 9.9.7.0/24 via 198.51.100.1", "route add 8.8.7.0/24 via 198.51.100.1")
	x.r.IP6("route add 2001:db8:ffff::/48 via 2001:db8:f2::1", "route add 2001:db8:fffe::/48 via 2001:db8:f2::1")
	for _, nat := range []string{"masquerade", "none"} {
		x.r.apply("[pbr]\noffload = \"off\"\n" + uplinkText(1, nat) + uplinkText(2, nat) + defaultText(1))
		if x.r.insideBit() == 0 {
			t.Fatal("the mask has no room for the bit")
		}
		for _, c := range []struct{ from, to, src, dst, translated string }{
			{"isp1", "isp2", "8.8.4.4", "9.9.7.7", "198.51.100.2"},
			{"isp1", "isp2", "2001:db8:eeee::4", "2001:db8:ffff::7", "2001:db8:f2::2"},
			{"isp2", "isp1", "8.8.7.7", "9.9.9.9", "192.0.2.2"},
			{"isp2", "isp1", "2001:db8:fffe::7", "2001:db8:dddd::9", "2001:db8:f1::2"},
		} {
			if nat == "none" {
				c.translated = c.src
			}
			x.r.Run("conntrack", "-F")
			there := lab.Packet{Proto: lab.ProtoUDP, SPort: 40000, DPort: 443, Src: netip.MustParseAddr(c.src),
				Dst: netip.MustParseAddr(c.dst)}
			back := lab.Packet{Proto: lab.ProtoUDP, SPort: 443, DPort: 40000, Src: there.Dst, Dst: netip.MustParseAddr(c.translated)}
			what := "nat " + nat + ": " + c.src + " to " + c.dst
			for range 2 {
				x.checkLeaves(what, c.from, there, c.to)
				x.checkLeaves(what+", answer", c.to, back, c.from)
			}
			if got, want := fmt.Sprint(x.r.marksByDestination()[c.dst]), fmt.Sprint(map[uint32]int{x.r.markOf("isp2"): 1}); got != want {
				t.Errorf("%s: the connection has the mark %s, not %s", what, got, want)
			}
		}
	}
}
