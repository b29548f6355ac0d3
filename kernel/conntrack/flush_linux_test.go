package conntrack

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	lib "github.com/ti-mo/conntrack"

	"pbr/compiler/plan"
	"pbr/integration/steps"
)

// connection is one entry for a test's conntrack table, of TCP; reply* are of the answering
// direction.
type connection struct {
	name, src, dst, replySrc, replyDst string
	mark                               uint32
}

const testMask = 0x00ff0000

// connections are named by whether a flush of mark 0x010000 and of the addresses 192.0.2.2 and
// 2001:db8:1::2 takes them.
var connections = []connection{
	{"flush: pinned", "10.0.0.1", "8.8.8.8", "8.8.8.8", "198.51.100.2", 0x010000},
	{"flush: pinned, IPv6", "fd00::1", "2001:db8::8", "2001:db8::8", "fd00::1", 0x010000},
	{"flush: pinned, with bits of others", "10.0.0.2", "8.8.8.8", "8.8.8.8", "198.51.100.2", 0x4501a234},
	{"flush: unmarked, translated", "10.0.0.3", "8.8.8.8", "8.8.8.8", "192.0.2.2", 0},
	{"flush: unmarked, translated, with bits of others", "10.0.0.4", "8.8.8.8", "8.8.8.8", "192.0.2.2", 0x4500a234},
	{"flush: unmarked, the router's own", "192.0.2.2", "8.8.8.8", "8.8.8.8", "192.0.2.2", 0},
	{"flush: unmarked, the router's own, translated", "192.0.2.2", "8.8.8.8", "8.8.8.8", "203.0.113.7", 0},
	{"flush: unmarked, to the router", "8.8.8.8", "192.0.2.2", "192.0.2.2", "8.8.8.8", 0},
	{"flush: unmarked, to a server behind the router", "8.8.8.9", "192.0.2.2", "10.0.0.80", "8.8.8.9", 0},
	{"flush: unmarked, IPv6", "2001:db8:1::2", "2001:db8::9", "2001:db8::9", "2001:db8:1::2", 0},
	{"flush: unmarked, translated, IPv6", "fd00::2", "2001:db8::9", "2001:db8::9", "2001:db8:1::2", 0},
	{"keep: of another uplink", "10.0.0.5", "8.8.8.8", "8.8.8.8", "198.51.100.2", 0x020000},
	{"keep: of a mark that has all our bits and more", "10.0.0.6", "8.8.8.8", "8.8.8.8", "198.51.100.2", 0x030000},
	{"keep: of another uplink, with the address", "10.0.0.7", "8.8.8.8", "8.8.8.8", "192.0.2.2", 0x020000},
	{"keep: of others' bits alone", "10.0.0.8", "8.8.8.8", "8.8.8.8", "198.51.100.2", 0x01000001},
	{"keep: LAN", "10.0.0.9", "10.1.0.9", "10.1.0.9", "10.0.0.9", 0},
	{"keep: LAN, IPv6", "fd00::9", "fd01::9", "fd01::9", "fd00::9", 0},
	{"keep: unmarked, of another address", "10.0.0.10", "8.8.8.8", "8.8.8.8", "198.51.100.2", 0},
	{"keep: unmarked, an address that begins alike", "10.0.0.11", "8.8.8.8", "8.8.8.8", "192.0.2.20", 0},
}

// add makes the connection, with the number as its port.
func (c connection) add(t testing.TB, ct *lib.Conn, port uint16) {
	t.Helper()
	f := lib.NewFlow(6, 0, netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst), port, 443, 600, c.mark)
	f.TupleReply.IP.SourceAddress, f.TupleReply.IP.DestinationAddress = netip.MustParseAddr(c.replySrc), netip.MustParseAddr(c.replyDst)
	f.ProtoInfo.TCP = &lib.ProtoInfoTCP{State: 3} // established
	if err := ct.Create(f); err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
}

// addConnections fills conntrack.
func addConnections(t testing.TB, ct *lib.Conn) {
	t.Helper()
	for i, c := range connections {
		c.add(t, ct, uint16(1000+i))
	}
}

var originalPort = regexp.MustCompile(`sport=(\d+)`)

// remaining are the names of the connections that conntrack(8) lists.
func remaining(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, family := range []string{"ipv4", "ipv6"} {
		for line := range strings.Lines(run(t, "conntrack -L -f "+family)) {
			if m := originalPort.FindStringSubmatch(line); m != nil {
				var port int
				fmt.Sscan(m[1], &port)
				out = append(out, connections[port-1000].name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// namesOf are the names of the connections whose name begins with one of the prefixes.
func namesOf(prefixes ...string) []string {
	var out []string
	for _, c := range connections {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(c.name, p) }) {
			out = append(out, c.name)
		}
	}
	slices.Sort(out)
	return out
}

func TestFlush(t *testing.T) {
	newNamespace(t)
	here := steps.InNamespace(t)
	ct := newConntrack(t)
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8:1::2")}
	for _, c := range []struct {
		name  string
		flush func() (int, error)
		want  []string
	}{
		{"mark and addresses", func() (int, error) {
			return Delete([]Flush{{Mark: 0x010000, Mask: testMask,
				Addrs: addrs}})
		}, namesOf("keep")},
		{"mark", func() (int, error) { return Delete([]Flush{{Mark: 0x010000, Mask: testMask}}) }, namesOf("keep", "flush: unmarked")},
		{"addresses", func() (int, error) { return Delete([]Flush{{Mask: testMask, Addrs: addrs}}) }, namesOf("keep", "flush: pinned")},
		{"addresses, one by one", func() (int, error) {
			return len(namesOf("flush: unmarked")), flushOneByOne(ct, []Flush{{Mask: testMask, Addrs: addrs}})
		}, namesOf("keep", "flush: pinned")},
		{"an address in its IPv6 form", func() (int, error) {
			return Delete([]Flush{{Mask: testMask, Addrs: []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.2"), addrs[1]}}})
		}, namesOf("keep", "flush: pinned")},
		{"two uplinks", func() (int, error) {
			return Delete([]Flush{{Mark: 0x010000, Mask: testMask}, {Mark: 0x030000, Mask: testMask}})
		}, slices.DeleteFunc(namesOf("keep", "flush: unmarked"), func(s string) bool { return strings.Contains(s, "all our bits") })},
		{"mark, IPv6 alone", func() (int, error) { return Delete([]Flush{{Family: plan.IPv6, Mark: 0x010000, Mask: testMask}}) },
			slices.DeleteFunc(namesOf("keep", "flush"), func(s string) bool { return s == "flush: pinned, IPv6" })},
		{"mark, IPv4 alone", func() (int, error) { return Delete([]Flush{{Family: plan.IPv4, Mark: 0x010000, Mask: testMask}}) },
			namesOf("keep", "flush: unmarked", "flush: pinned, IPv6")},
		{"nothing", func() (int, error) { return Delete([]Flush{{Mask: testMask}}) }, namesOf("keep", "flush")},
	} {
		here.Run(c.name, func(t *testing.T) {
			must(t, ct.Flush())
			addConnections(t, ct)
			n, err := c.flush()
			must(t, err)
			if got := remaining(t); !slices.Equal(got, c.want) {
				t.Errorf("%s: left are\n%s\nwanted\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if want := len(connections) - len(c.want); n != want {
				t.Errorf("%s: says that it flushed %d, wanted %d", c.name, n, want)
			}
		})
	}
}

// TestFlushRefusesEverything: what the kernel would take for all connections flushes none.
func TestFlushRefusesEverything(t *testing.T) {
	newNamespace(t)
	here := steps.InNamespace(t)
	ct := newConntrack(t)
	addConnections(t, ct)
	for _, c := range []Flush{
		{}, {Mark: 0x010000}, {Mark: 0x010001, Mask: testMask}, {Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.2")}},
		{Mask: testMask, Addrs: []netip.Addr{{}}}, {Mask: testMask, Addrs: []netip.Addr{netip.IPv4Unspecified()}},
		{Mask: testMask, Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
	} {
		here.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			if n, err := Delete([]Flush{{Mark: 0x010000, Mask: testMask}, c}); err == nil || n != 0 {
				t.Errorf("%+v: flushed %d, %v", c, n, err)
			}
		})
	}
	here.Run("all are left", func(t *testing.T) {
		if got := remaining(t); len(got) != len(connections) {
			t.Errorf("only %q are left", got)
		}
	})
}

func TestConnections(t *testing.T) {
	newNamespace(t)
	ct := newConntrack(t)
	usage, err := Count(testMask)
	must(t, err)
	if len(usage) != 0 {
		t.Fatalf("in an empty namespace: %v", usage)
	}
	addConnections(t, ct)
	usage, err = Count(testMask)
	must(t, err)
	want := map[uint32]Usage{}
	for _, c := range connections {
		u := want[c.mark&testMask]
		u.Connections++
		want[c.mark&testMask] = u
	}
	if fmt.Sprint(usage) != fmt.Sprint(want) {
		t.Errorf("got %v, wanted %v", usage, want)
	}
}

// TestConnectionsBytes pings over lo: 10 echo requests of 84 bytes with as many answers.
func TestConnectionsBytes(t *testing.T) {
	newNamespace(t)
	for _, cmd := range []string{
		"sysctl -w net.netfilter.nf_conntrack_acct=1",
		"nft add table inet marks", "nft add chain inet marks out { type filter hook output priority 0 ; }",
		"nft add rule inet marks out ct mark set 0x00050007",
		"ping -c 10 -i 0.002 -s 56 127.0.0.1",
	} {
		run(t, cmd)
	}
	usage, err := Count(testMask)
	must(t, err)
	if got, want := usage[0x00050000], (Usage{Connections: 1, Bytes: 20 * 84, HasBytes: true}); got != want {
		t.Errorf("got %+v, wanted %+v", got, want)
	}
}
