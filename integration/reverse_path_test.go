package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/keep"
	"pbr/integration/lab"
	"pbr/integration/steps"
)

// spoof is one packet with a source that may be none of its sender's.
type spoof struct {
	name, from, src, dst string
	// connection has the source, destination and source port of a connection that the router has
	// and the packet claims to be of.
	connection bool
	// untracked keeps it out of conntrack.
	untracked bool
	// passes has the modes, of "kns" for kernel, nft, nft-strict, that take it; where says by which
	// hook.
	where, passes string
}

// spoofs are packets to the router and through it. The interfaces: br-lan 192.168.10.1, br-guest
// 192.168.20.1, wan1 192.0.2.2 (default), wan2 198.51.100.2.
var spoofs = []spoof{
	{name: "honest", from: "isp1", src: "9.9.9.9", dst: "192.0.2.2", where: "input", passes: "kns"},
	{name: "honest", from: "isp1", src: "9.9.9.9", dst: "192.168.10.10", where: "forward", passes: "kns"},
	{name: "honest, by the line that is not default's", from: "isp2", src: "9.9.9.9", dst: "198.51.100.2", where: "input", passes: "kns"},
	{name: "honest, by the line that is not default's", from: "isp2", src: "9.9.9.9", dst: "192.168.10.10",
		where: "forward", passes: "kns"},
	{name: "honest neighbour of the router", from: "isp2", src: "198.51.100.9", dst: "198.51.100.2", where: "input", passes: "kns"},
	{name: "router's address inside", from: "isp1", src: "192.168.10.1", dst: "192.0.2.2", where: "input"},
	{name: "router's address inside", from: "isp1", src: "192.168.10.1", dst: "192.168.10.10", where: "forward"},
	{name: "router's address there", from: "isp1", src: "192.0.2.2", dst: "192.0.2.2", where: "input"},
	{name: "router's address there", from: "isp1", src: "192.0.2.2", dst: "192.168.10.10", where: "forward"},
	{name: "router's address elsewhere", from: "isp2", src: "192.0.2.2", dst: "192.168.10.10", where: "forward"},
	{name: "loopback", from: "isp1", src: "127.0.0.1", dst: "192.0.2.2", where: "input"},
	{name: "loopback", from: "isp1", src: "127.0.0.1", dst: "192.168.10.10", where: "forward"},
	{name: "a host inside", from: "isp1", src: "192.168.10.11", dst: "192.0.2.2", where: "input", passes: "kn"},
	{name: "a host inside", from: "isp1", src: "192.168.20.10", dst: "192.168.10.10", where: "forward", passes: "kn"},
	{name: "a host inside", from: "isp2", src: "192.168.20.10", dst: "192.168.10.10", where: "forward", passes: "kn"},
	{name: "a neighbour of another line", from: "isp1", src: "198.51.100.9", dst: "192.0.2.2", where: "input", passes: "kn"},
	{name: "broadcast", from: "isp1", src: "255.255.255.255", dst: "192.0.2.2", where: "input"},
	{name: "broadcast of a network", from: "isp1", src: "192.168.10.255", dst: "192.0.2.2", where: "input"},
	{name: "broadcast of a network", from: "isp1", src: "192.168.10.255", dst: "192.168.20.10", where: "forward"},
	{name: "multicast", from: "isp1", src: "224.0.0.5", dst: "192.0.2.2", where: "input"},
	{name: "multicast", from: "isp1", src: "239.1.1.1", dst: "192.168.10.10", where: "forward"},
	{name: "this network", from: "isp1", src: "0.0.0.0", dst: "192.0.2.2", where: "input"},
	{name: "the rest of this network", from: "isp1", src: "0.1.2.3", dst: "192.0.2.2", where: "input", passes: "kns"},
	{name: "the rest of this network", from: "isp1", src: "0.1.2.3", dst: "192.168.10.10", where: "forward", passes: "kns"},
	{name: "reserved", from: "isp1", src: "240.0.0.1", dst: "192.168.10.10", where: "forward", passes: "kns"},

	{name: "honest", from: "lan", src: "192.168.10.10", dst: "192.168.10.1", where: "input", passes: "kns"},
	{name: "honest", from: "lan", src: "192.168.10.10", dst: "9.9.9.9", where: "forward", passes: "kns"},
	{name: "without an address yet", from: "lan", src: "0.0.0.0", dst: "255.255.255.255", where: "input", passes: "kns"},
	{name: "router's address there", from: "lan", src: "192.168.10.1", dst: "9.9.9.9", where: "forward"},
	{name: "router's address there", from: "lan", src: "192.168.10.1", dst: "192.168.10.1", where: "input"},
	{name: "router's address outside", from: "lan", src: "192.0.2.2", dst: "9.9.9.9", where: "forward"},
	{name: "router's address outside", from: "lan", src: "192.0.2.2", dst: "192.168.10.1", where: "input"},
	{name: "router's address, to everybody", from: "lan", src: "192.168.10.1", dst: "224.0.0.1", where: "input"},
	{name: "a host elsewhere inside", from: "lan", src: "192.168.20.10", dst: "192.168.10.1", where: "input", passes: "kn"},
	{name: "a host outside", from: "lan", src: "8.8.8.8", dst: "9.9.9.9", where: "forward", passes: "kn"},

	{name: "router's connection with itself", from: "lan", src: "192.168.10.1", dst: "192.168.10.1", connection: true, where: "input"},
	{name: "router's connection with itself", from: "isp1", src: "192.168.10.1", dst: "192.168.10.1", connection: true, where: "input"},
	{name: "router's address inside, of no connection", from: "isp1", src: "192.168.10.1", dst: "192.168.10.10",
		untracked: true, where: "forward"},
	{name: "router's address outside, of no connection", from: "lan", src: "192.0.2.2", dst: "9.9.9.9", untracked: true, where: "forward"},
	{name: "honest, of no connection", from: "lan", src: "192.168.10.10", dst: "9.9.9.9", untracked: true, where: "forward", passes: "kns"},
	// What once per connection costs: see docs/how/routing.md.
	{name: "router's connection with others", from: "lan", src: "192.0.2.2", dst: "9.9.9.9", connection: true,
		where: "forward", passes: "ns"},

	{name: "honest", from: "isp1", src: "2001:db8:ffff::9", dst: "2001:db8:f1::2", where: "input", passes: "kns"},
	{name: "honest", from: "isp2", src: "2001:db8:ffff::9", dst: "2001:db8:10::10", where: "forward", passes: "kns"},
	{name: "honest", from: "lan", src: "2001:db8:10::10", dst: "2001:db8:ffff::9", where: "forward", passes: "kns"},
	{name: "a neighbour by link-local address", from: "isp1", src: "fe80::99", dst: "2001:db8:f1::2", where: "input", passes: "kns"},
	{name: "without an address yet", from: "lan", src: "::", dst: "ff02::1", where: "input", passes: "kns"},
	{name: "router's address inside", from: "isp1", src: "2001:db8:10::1", dst: "2001:db8:f1::2", where: "input", passes: "k"},
	{name: "router's address inside", from: "isp1", src: "2001:db8:10::1", dst: "2001:db8:10::10", where: "forward", passes: "k"},
	{name: "router's address there", from: "isp1", src: "2001:db8:f1::2", dst: "2001:db8:10::10", where: "forward", passes: "k"},
	{name: "router's address outside", from: "lan", src: "2001:db8:f1::2", dst: "2001:db8:ffff::9", where: "forward", passes: "k"},
	{name: "router's address, to everybody", from: "lan", src: "2001:db8:10::1", dst: "ff02::1", where: "input", passes: "k"},
	{name: "router's connection with itself", from: "lan", src: "2001:db8:10::1", dst: "2001:db8:10::1",
		connection: true, where: "input", passes: "k"},
	{name: "loopback", from: "isp1", src: "::1", dst: "2001:db8:10::10", where: "forward"},
	{name: "multicast", from: "isp1", src: "ff02::5", dst: "2001:db8:10::10", where: "forward"},
	{name: "a host inside", from: "isp1", src: "2001:db8:20::10", dst: "2001:db8:10::10", where: "forward", passes: "kn"},
	{name: "a host outside", from: "lan", src: "2001:db8:aaaa::8", dst: "2001:db8:ffff::9", where: "forward", passes: "kn"},
}

// The ports of the packets: where the first of them goes to, and where they come from; those from
// unseen are not tracked.
const spoofPort, spoofFrom, spoofUnseen = 20000, 30000, 30001

// Packets with sources that are not their sender's: what the kernel drops is dropped by our chain,
// first packets and others.
func TestReversePath(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11), lab.LAN("guest", "br-guest", 20, 10)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}, Silent: true,
	})
	r, wires := newRouter(n.Router), n.Wires()
	r.NFT(`table inet seen {
	set input { type inet_service; flags dynamic; size 1000; }
	set forward { type inet_service; flags dynamic; size 1000; }
	chain pre { type filter hook prerouting priority raw; udp sport 30001 notrack; }
	chain in { type filter hook input priority 300; udp dport 20000-20999 add @input { udp dport }; }
	chain through { type filter hook forward priority 300; udp dport 20000-20999 add @forward { udp dport }; }
}`)
	settings := func() (out string) {
		for _, path := range []string{"all/accept_local", "all/rp_filter", "br-lan/rp_filter", "wan1/rp_filter",
			"wan2/rp_filter", "lo/rp_filter"} {
			out += r.ReadSysctl("net/ipv4/conf/"+path) + " "
		}
		return out
	}
	r.Sysctl("net/ipv4/conf/all/rp_filter", "2")    // loose everywhere, as systemd sets it
	r.Sysctl("net/ipv4/conf/all/accept_local", "1") // as somebody left it, which is no reason to take what the kernel is to drop
	before := settings()
	try := func(t *testing.T, mode, value string) {
		t.Helper()
		r.apply(strings.Replace(twoUplinks, "[pbr]", "[pbr]\nsysctl = true\nreverse-path = \""+value+"\"", 1))
		r.inSync()
		r.Run("conntrack", "-F")
		r.NFT("flush set inet seen input; flush set inet seen forward")
		for i, s := range spoofs {
			if s.connection {
				r.Run("conntrack", "-I", "-p", "udp", "-s", s.src, "-d", s.dst, "--sport", fmt.Sprint(spoofFrom),
					"--dport", fmt.Sprint(spoofPort+i), "-t", "100", "-u", "ASSURED,SEEN_REPLY")
			}
		}
		lab.Pinned(t, func() error {
			for i, s := range spoofs {
				p := lab.Packet{ID: uint64(i), Src: netip.MustParseAddr(s.src), Dst: netip.MustParseAddr(s.dst),
					Proto: lab.ProtoUDP, SPort: spoofFrom, DPort: uint16(spoofPort + i)}
				if s.untracked {
					p.SPort = spoofUnseen
				}
				if err := wires[s.from].Send(p); err != nil {
					return err
				}
				if err := wires[s.from].AwaitDelivery(); err != nil {
					return err
				}
			}
			return nil
		})
		for i, s := range spoofs {
			for _, hook := range []string{"input", "forward"} {
				passed := strings.Contains(r.Run("nft", "list", "set", "inet", "seen", hook), fmt.Sprint(spoofPort+i))
				if want := hook == s.where && strings.Contains(s.passes, mode); passed != want {
					t.Errorf("%s: %s, from %s, %s to %s: reached %s: %v", value, s.name, s.from, s.src, s.dst, hook, passed)
				}
			}
		}
		if value != "kernel" {
			if counter := r.Run("nft", "list", "counter", "inet", "pbr", "spoofed"); strings.Contains(counter, "packets 0 ") {
				t.Errorf("%s: nothing is counted: %s", value, counter)
			}
		}
	}
	modes := map[string]string{"k": "kernel", "n": "nft", "s": "nft-strict"}
	for mode, value := range modes {
		t.Run(value, func(t *testing.T) {
			try(t, mode, value)
		})
	}
	keep.Own(r.Host)
	for mode, value := range modes {
		t.Run(value+", with own addresses kept", func(t *testing.T) {
			try(t, mode, value)
			lab.WaitFor(t, "own addresses to be kept", func() bool { return keep.OwnKept(r.Host) })
		})
	}
	step := steps.Of(t)
	step.Run("flush gives back the settings", func(t *testing.T) {
		r.must("flush")
		if after := settings(); after != before {
			t.Errorf("before pbr the settings are %s, after flush %s", before, after)
		}
	})
}

// The text forms make what apply makes. (nft and ip commands leave the settings to others.)
func TestTextOfReversePath(t *testing.T) {
	t.Parallel()
	textEqualsNetlink(newRouter(bench(lab.New(t)).Router), strings.Replace(twoUplinks, "[pbr]", "[pbr]\nreverse-path = \"nft-strict\"", 1))
}
