package cost

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// network is what the generated policies are for.
var network = lab.Spec{
	LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)},
	ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
}

const policyHead = `default = { routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }] }
uplink = [
  { name = "isp1", interface = "wan1", gateway = "192.0.2.1",    nat = "masquerade" },
  { name = "isp2", interface = "wan2", gateway = "198.51.100.1", nat = "masquerade" },
]
table = [
  { name = "to-isp1", routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }] },
  { name = "to-isp2", routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }] },
]
pbr = { offload = "off" }
`

// The first of the addresses that policies and lists have.
var (
	hosts        = netip.MustParseAddr("10.64.0.0")
	destinations = netip.MustParseAddr("172.16.0.0")
	listed       = netip.MustParseAddr("20.0.0.0")
	elsewhere    = netip.MustParseAddr("192.88.99.1")
)

// group is what a policy selects by; each is a quarter of the policies, in this order.
type group int

const (
	exceptions group = iota // one service of one host at one destination
	singles                 // a host
	networks                // a network of hosts
	servers                 // a destination
)

const (
	netSize   = 16 // addresses of a network
	firstPort = 5000
	ports     = 1000
)

// of returns the group of policy i of n, and its place in it.
func of(i, n int) (group, int) {
	g := i * 4 / n
	return group(g), i - (g*n+3)/4
}

// none is the changed policy of a file in which none is changed.
const none = -1

// policyText has n policies, of which one goes to the other table.
func policyText(n, changed int) string {
	var t strings.Builder
	t.WriteString(policyHead)
	for i := range n {
		fmt.Fprintf(&t, "[[policy]]\nname = \"p%d\"\ntable = \"%s\"\n", i, tableOf(i, i == changed))
		switch g, k := of(i, n); g {
		case exceptions:
			fmt.Fprintf(&t, "src = \"%v\"\ndst = \"%v/28\"\nproto = \"udp\"\ndport = %d\n",
				plus(hosts, k), plus(destinations, k*netSize), firstPort+k%ports)
		case singles:
			fmt.Fprintf(&t, "src = \"%v\"\n", plus(hosts, k))
		case networks:
			fmt.Fprintf(&t, "src = \"%v/28\"\n", plus(hosts, k*netSize))
		case servers:
			fmt.Fprintf(&t, "dst = \"%v/28\"\n", plus(destinations, k*netSize))
		}
	}
	return t.String()
}

// tableOf deals policies out to the two tables.
func tableOf(i int, changed bool) string {
	if changed {
		i++
	}
	return fmt.Sprintf("to-isp%d", 1+i%2)
}

// listPolicy is a policy by a list in a file.
const listPolicy = policyHead + `lists = { many = { file = "list.txt" } }
[[policy]]
name = "listed"
dst = "@many"
table = "to-isp2"
`

// listText has n addresses, no two next to each other, of which one is an address elsewhere.
func listText(n, changed int) string {
	var t strings.Builder
	for i := range n {
		a := plus(listed, 2*i)
		if i == changed {
			a = elsewhere
		}
		t.WriteString(a.String() + "\n")
	}
	return t.String()
}

// plus adds to an IPv4 address.
func plus(a netip.Addr, n int) netip.Addr {
	b := a.As4()
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(b[:])+uint32(n))))
}

// files are those of one size: a policy, and the same with one line changed.
type files struct{ policy, changed string }

// policyFiles writes those of n policies, listFiles those of a list of n addresses.
func policyFiles(t testing.TB, n int) files {
	dir := t.TempDir()
	f := files{filepath.Join(dir, "pbr.toml"), filepath.Join(dir, "changed.toml")}
	save(t, f.policy, policyText(n, none))
	save(t, f.changed, policyText(n, n/2))
	return f
}

func listFiles(t testing.TB, n int) files {
	var f files
	for changed, file := range map[int]*string{none: &f.policy, n / 2: &f.changed} {
		dir := t.TempDir()
		*file = filepath.Join(dir, "pbr.toml")
		save(t, *file, listPolicy)
		save(t, filepath.Join(dir, "list.txt"), listText(n, changed))
	}
	return f
}

func save(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
