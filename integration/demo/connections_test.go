package demo

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pbr/integration/lab"
)

// connection is one to try, and what has to become of it.
type connection struct {
	// from and to are where it starts and goes; network is "tcp", "udp" or "ping" (then to has no
	// port).
	from, network, to string
	want              way
}

// way is what became of a connection.
type way struct {
	// policy caught it; empty: none.
	policy string
	// uplink carried it; empty: it got nowhere.
	uplink string
	// source is the address that the far end saw; of a connection from outside the one that
	// answered.
	source string
	// mark is the connection mark, by the name of its table or uplink; empty: none.
	mark string
}

// usual shows each kind of selection, and its opposite.
var usual = []connection{
	{"laptop", "tcp", "8.8.8.8:443", way{"", "isp1", "192.0.2.2", ""}},
	{"laptop", "tcp", "[2001:db8:ffff::8]:443", way{"", "isp1", "2001:db8:f1::2", ""}},
	{"phone", "udp", "9.9.9.9:5060", way{"phone", "isp2", "198.51.100.2", "isp2"}},
	{"phone", "udp", "[2001:db8:ffff::9]:5060", way{"phone", "isp2", "2001:db8:f2::2", "isp2"}},
	{"phone", "tcp", "9.9.9.9:443", way{"", "isp1", "192.0.2.2", ""}},
	{"laptop", "udp", "9.9.9.9:5060", way{"", "isp1", "192.0.2.2", ""}},
	{"server", "tcp", "9.9.9.9:25", way{"mail", "isp2", "198.51.100.2", "isp2"}},
	{"server", "tcp", "9.9.9.9:587", way{"mail", "isp2", "198.51.100.2", "isp2"}},
	{"laptop", "tcp", "9.9.9.9:25", way{"", "isp1", "192.0.2.2", ""}},
	{"laptop", "tcp", "10.99.1.5:3389", way{"office", "vpn", "203.0.113.2", "vpn/strict"}},
	{"phone", "udp", "172.16.5.9:5060", way{"office", "vpn", "203.0.113.2", "vpn/strict"}},
	{"phone", "udp", "172.16.5.10:5060", way{"phone", "isp2", "198.51.100.2", "isp2"}},
	{"laptop", "ping", "8.8.4.4", way{"ping", "isp2", "198.51.100.2", "isp2"}},
	{"router", "udp", "9.9.9.9:53", way{"dns", "isp2", "198.51.100.2", "isp2"}},
	{"laptop", "udp", "9.9.9.9:53", way{"", "isp1", "192.0.2.2", ""}},
	{"isp1", "tcp", "192.0.2.2:443", way{"", "isp1", "192.0.2.2", ""}},
	{"isp2", "tcp", "198.51.100.2:443", way{"", "isp2", "198.51.100.2", "isp2"}},
}

var withoutISP2 = []connection{
	{"phone", "udp", "9.9.9.9:5060", way{"phone", "isp1", "192.0.2.2", "isp1"}},
	{"laptop", "tcp", "8.8.8.8:443", way{"", "isp1", "192.0.2.2", ""}},
}

var withoutVPN = []connection{
	{"laptop", "tcp", "10.99.1.5:3389", way{"office", "", "", ""}},
	{"laptop", "tcp", "8.8.8.8:443", way{"", "isp1", "192.0.2.2", ""}},
}

// connections opens each connection and prints what became of it, and what should have if that
// differs.
func (s *show) connections(list []connection) {
	s.t.Helper()
	rows := [][]string{{"FROM", "BY", "TO", "POLICY", "UPLINK", "FAR END SAW", "CT MARK", ""}}
	for _, c := range list {
		before := s.counters()
		got := s.open(c)
		got.policy = risen(before, s.counters())
		verdict := s.paint(green, "ok")
		if got != c.want {
			verdict = s.paint(red, "WRONG, has to be "+strings.Join(s.cells(c, c.want), " "))
			s.t.Errorf("%s %s %s: went %+v, has to go %+v", c.from, c.network, c.to, got, c.want)
		}
		rows = append(rows, slices.Concat([]string{c.from, c.network, c.destination()}, s.cells(c, got), []string{verdict}))
	}
	s.grid(rows)
}

// fromOutside reports whether a provider's internet opens the connection.
func (c connection) fromOutside() bool { return strings.HasPrefix(c.from, "isp") }

// destination is where the connection goes, in words if it comes from outside.
func (c connection) destination() string {
	if c.fromOutside() {
		return c.to + " (the server)"
	}
	return c.to
}

// cells are the columns for what became of a connection.
func (s *show) cells(c connection, w way) []string {
	policy, uplink, source, mark := w.policy, w.uplink, w.source, "none"
	switch {
	case policy == "" && c.fromOutside():
		policy = "(inbound)"
	case policy == "":
		policy = "(default)"
	}
	for number, name := range s.tables {
		if name == w.mark {
			mark = fmt.Sprintf("0x%08x %s", number, name)
		}
	}
	if uplink == "" {
		uplink, source, mark = "nowhere", "-", "-"
	}
	return []string{policy, uplink, source, mark}
}

// open makes one connection and finds out which way it went.
func (s *show) open(c connection) way {
	s.t.Helper()
	if c.network == "ping" {
		return s.ping(s.host(c.from), netip.MustParseAddr(c.to))
	}
	to := netip.MustParseAddrPort(c.to)
	conn, err := s.host(c.from).Dial(c.network, netip.Addr{}, to, lab.DialOptions{})
	if err != nil {
		return way{}
	}
	defer conn.Close()
	seen, err := conn.Ask()
	if err != nil {
		return way{}
	}
	w := way{uplink: seen.By, source: seen.Src.Addr().String(), mark: s.mark(c.network, to.Addr(), conn.LocalAddr().Port())}
	if c.fromOutside() {
		// The answer came back to this provider, from the address that was asked: otherwise there
		// is none.
		w.uplink, w.source = c.from, to.Addr().String()
		if seen.By != "server" {
			s.t.Errorf("%s %s %s: answered by %s, not by the server", c.from, c.network, c.to, seen.By)
		}
	}
	return w
}

// ping sends an echo request; which provider saw it, and from where, its own connection table
// tells.
func (s *show) ping(from *lab.Host, to netip.Addr) way {
	s.t.Helper()
	if !from.Ping(netip.Addr{}, to) {
		return way{}
	}
	for name, isp := range s.ISPs {
		if entry := tracked(isp, "icmp", to); entry != "" {
			return way{uplink: name, source: field(entry, "src"), mark: s.mark("icmp", to, 0)}
		}
	}
	s.t.Errorf("ping %s: answered, but no provider has seen it", to)
	return way{}
}

// host finds a host by its name.
func (s *show) host(name string) *lab.Host {
	if h := s.LANs[name]; h != nil {
		return h
	}
	if h := s.ISPs[name]; h != nil {
		return h
	}
	return s.Router
}
