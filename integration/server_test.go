package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// serverPolicy is that of a server with two cards: it answers, and its own connections go where its
// policies say.
const serverPolicy = `
uplink = [
  { name = "front", interface = "eth0", gateway = "10.0.0.1", gateway6 = "2001:db8::1" },
  { name = "back", interface = "eth1", gateway = "10.0.0.1", gateway6 = "2001:db8::1" },
]
policy = { name = "own", from = "local", uid = 1001, uplink = "back" }
[pbr]
sysctl = true
%s
`

// server has two cards in one network, as cloud machines do: the switch lets each port send from
// its own addresses alone.
type server struct {
	*router
	peer *lab.Host
}

func newServer(t *testing.T) *server {
	t.Helper()
	l := lab.New(t)
	s := &server{router: newRouter(l.Host("server")), peer: l.Host("peer")}
	sw := l.Host("switch")
	sw.IP("link add br0 type bridge", "link set br0 up", "addr add 10.0.0.1/24 dev br0", "addr add 9.9.9.9/32 dev lo")
	sw.IP6("addr add 2001:db8::1/64 dev br0 nodad", "addr add 2001:db8:9::9/128 dev lo nodad")
	for i, port := range []string{"p0", "p1"} {
		dev := fmt.Sprintf("eth%d", i)
		l.Veth(s.Host, dev, sw, port)
		s.IP(fmt.Sprintf("addr add 10.0.0.1%d/24 dev %s", i, dev))
		s.IP6(fmt.Sprintf("addr add 2001:db8::1%d/64 dev %s nodad", i, dev))
	}
	l.Veth(s.peer, "eth0", sw, "p2")
	s.peer.IP("addr add 10.0.0.20/24 dev eth0")
	s.peer.IP6("addr add 2001:db8::20/64 dev eth0 nodad")
	for _, port := range []string{"p0", "p1", "p2"} {
		sw.IP("link set " + port + " master br0")
	}
	sw.NFT(`table bridge guard { chain ports { type filter hook prerouting priority 0;
		iifname "p0" ip saddr != 10.0.0.10 drop; iifname "p0" arp saddr ip != 10.0.0.10 drop; iifname "p0" ip6 saddr 2001:db8::11 drop
		iifname "p1" ip saddr != 10.0.0.11 drop; iifname "p1" arp saddr ip != 10.0.0.11 drop; iifname "p1" ip6 saddr 2001:db8::10 drop
	}
}
`)
	s.IP("route add default via 10.0.0.1 dev eth0")
	s.Sysctl("net/ipv4/conf/all/arp_ignore", "1")
	s.Sysctl("net/ipv4/conf/all/arp_announce", "2")
	return s
}

// answers reports which of the server's addresses answer, to a peer in the network and from far
// away.
func (s *server) answers(from *lab.Host) (out []string) {
	for _, addr := range []string{"10.0.0.10", "10.0.0.11", "2001:db8::10", "2001:db8::11"} {
		if from.Ping(netip.Addr{}, netip.MustParseAddr(addr)) {
			out = append(out, addr)
		}
	}
	return out
}

// The answer to a peer in the network of both cards leaves through the card whose address was
// asked, in every main-first.
func TestTwoCardsInOneNetwork(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if got := s.answers(s.peer); len(got) == 4 {
		t.Fatalf("without pbr all addresses answer: the network does not show what is lost")
	}
	for _, mainFirst := range []string{"specific", "connected", "off"} {
		t.Run("main-first = "+mainFirst, func(t *testing.T) {
			s.apply(fmt.Sprintf(serverPolicy, fmt.Sprintf("main-first = %q", mainFirst)))
			s.inSync()
			if got := s.answers(s.peer); len(got) != 4 {
				t.Errorf("main-first = %q: only %q answer\n%s%s", mainFirst, got, s.Run("ip", "rule"),
					s.Run("ip", "route", "show", "table", "all"))
			}
			rules := s.Run("ip", "rule")
			own := strings.Index(rules, "from 10.0.0.11 to 10.0.0.0/24")
			if main := strings.Index(rules, "lookup main suppress"); own < 0 || main >= 0 && own > main {
				t.Errorf("main-first = %q: the rules for the cards are not ahead of main's:\n%s", mainFirst, rules)
			}
		})
	}
	step := steps.Of(t)
	step.Run("a server forwards nothing, and doctor knows why", func(t *testing.T) {
		if v := s.ReadSysctl("net/ipv4/ip_forward"); v != "0" {
			t.Errorf("ip_forward is %s on a server", v)
		}
		if out := s.doctor(0); !strings.Contains(out, "not checked: nothing in the policy is for other hosts") {
			t.Errorf("doctor:\n%s", out)
		}
	})
	step.Run("the other card's network changes: nothing is shared, and main comes first", func(t *testing.T) {
		s.IP("addr del 10.0.0.11/24 dev eth1", "addr add 10.0.1.11/24 dev eth1")
		s.apply(fmt.Sprintf(serverPolicy, ""))
		if rules := s.Run("ip", "rule"); strings.Contains(rules, "to 10.0.0.0/24") ||
			!strings.Contains(rules, "10000:\tfrom all lookup main") {
			t.Errorf("nothing is shared:\n%s", rules)
		}
	})
	step.Run("flush leaves no rule", func(t *testing.T) {
		s.must("flush")
		if rules := s.Run("ip", "rule"); strings.Contains(rules, "100") {
			t.Errorf("after flush:\n%s", rules)
		}
	})
}

// forward says who sees to forwarding, whatever else the policy says.
func TestForward(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, c := range []struct{ keys, want string }{{"", "0"}, {"forward = true", "1"}, {"forward = \"auto\"", "0"}} {
		t.Run(c.keys, func(t *testing.T) {
			s.apply(fmt.Sprintf(serverPolicy, c.keys))
			if v := s.ReadSysctl("net/ipv4/ip_forward") + s.ReadSysctl("net/ipv6/conf/all/forwarding"); v != c.want+c.want {
				t.Errorf("%s: forwarding of IPv4 and IPv6 is %s", c.keys, v)
			}
			s.inSync()
		})
	}
	step := steps.Of(t)
	step.Run("source NAT needs it", func(t *testing.T) {
		s.apply(strings.Replace(fmt.Sprintf(serverPolicy, ""), "10.0.0.1\",", "10.0.0.1\", nat = \"masquerade\",", 1))
		if v := s.ReadSysctl("net/ipv4/ip_forward"); v != "1" {
			t.Errorf("ip_forward is %s with source NAT", v)
		}
	})
	step.Run("forward = false is stronger", func(t *testing.T) {
		s.apply(strings.Replace(fmt.Sprintf(serverPolicy, "forward = false"), "10.0.0.1\",", "10.0.0.1\", nat = \"masquerade\",", 1))
		if v := s.ReadSysctl("net/ipv4/ip_forward"); v != "0" {
			t.Errorf("ip_forward is %s with forward = false", v)
		}
	})
	step.Run("doctor says so", func(t *testing.T) {
		if out := s.doctor(0); !strings.Contains(out, "not checked: forward = false") {
			t.Errorf("doctor:\n%s", out)
		}
	})
}
