package integration

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"

	"pbr/integration/lab"
)

// session is an open connection, who answered it first, and the uplink that its mark has to name.
type session struct {
	name    string
	network string
	conn    *lab.Conn
	seen    lab.Seen
	dst     netip.AddrPort
	pin     string
}

// open opens a connection from a LAN and asks; the provider has to see the address of its own line.
// pinned reports whether the connection is pinned to it.
func (s *scenario) open(network string, src netip.Addr, dst netip.AddrPort) session {
	s.t.Helper()
	c, err := s.LANs["lan"].Dial(network, src, dst, lab.DialOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	seen, err := c.Ask()
	if err != nil {
		s.t.Fatalf("%s from %s to %s: %v\n%s", network, src, dst, err, s.state(dst))
	}
	for _, isp := range s.Spec.ISPs {
		if isp.Name == seen.By && seen.Src.Addr() != isp.Router4.Addr() && seen.Src.Addr() != isp.Router6.Addr() {
			s.t.Errorf("%s saw %s", seen.By, seen.Src)
		}
	}
	return s.session(network, c, seen, dst)
}

// session is the connection's, which has to be pinned to the uplink of who answered.
func (s *scenario) session(network string, c *lab.Conn, seen lab.Seen, dst netip.AddrPort) session {
	s.t.Helper()
	if s.pin(seen.By) == 0 {
		s.t.Errorf("uplink %s has no mark", seen.By)
	}
	name := fmt.Sprintf("%s to %s by %s", network, dst, seen.By)
	return session{name: name, network: network, conn: c, seen: seen, dst: dst, pin: seen.By}
}

// stay asks again on each connection of the named providers; the answer has to be the same.
func (s *scenario) stay(when string, open []session, of ...string) {
	s.t.Helper()
	for _, o := range open {
		for _, isp := range of {
			if o.seen.By != isp {
				continue
			}
			if again, err := o.conn.Ask(); err != nil || again != o.seen {
				s.t.Errorf("%s: a connection to %s by %s is now seen as %+v, %v", when, o.dst, o.seen.By, again, err)
			}
		}
	}
}

// pinned compares the connections' marks with those of their uplinks.
func (s *scenario) pinned(open []session) {
	s.t.Helper()
	tables := map[bool]map[string][]uint32{}
	for _, o := range open {
		v6 := o.dst.Addr().Is6()
		if tables[v6] == nil {
			tables[v6] = s.ctMarks(v6)
		}
		marks := tables[v6][connection(o.network, o.conn.LocalAddr(), o.dst)]
		if want := s.pin(o.pin); len(marks) != 1 || marks[0] != want {
			s.t.Errorf("%s: ct mark %#08x, not 0x%08x of %q", o.name, marks, want, o.pin)
		}
	}
}

// connection is what a connection is known by. Two hosts may have chosen the same port.
func connection(network string, src, dst netip.AddrPort) string { return fmt.Sprint(network, src, dst) }

// trackedPattern is a line of conntrack(8) about a connection over UDP or TCP.
var trackedPattern = regexp.MustCompile(
	`(?m)^(udp|tcp) .*?src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) .* mark=(\d+)`)

// ctMarks returns our bits of connections' marks, as conntrack(8) lists them.
func (s *scenario) ctMarks(v6 bool) map[string][]uint32 {
	s.t.Helper()
	family := "ipv4"
	if v6 {
		family = "ipv6"
	}
	number := func(text string, bits int) uint64 {
		n, err := strconv.ParseUint(text, 10, bits)
		if err != nil {
			s.t.Fatal(err)
		}
		return n
	}
	end := func(addr, port string) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(number(port, 16)))
	}
	marks := map[string][]uint32{}
	for _, m := range trackedPattern.FindAllStringSubmatch(s.router.Run("conntrack", "-L", "-f", family), -1) {
		key := connection(m[1], end(m[2], m[4]), end(m[3], m[5]))
		marks[key] = append(marks[key], uint32(number(m[6], 32))&defaultMask)
	}
	return marks
}
