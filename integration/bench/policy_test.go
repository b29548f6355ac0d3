package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// The sizes of the generated policy.
const (
	policies    = 10_000
	listEntries = 100_000
	listFiles   = 4
	// changedPolicy is the one that the changed file has different.
	changedPolicy = policies / 2
)

// network is what the generated policy is for.
var network = lab.Spec{
	LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10), lab.LAN("guest", "br-guest", 20, 10)},
	ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2), lab.ISP(3)},
}

const uplinks = `
uplink = [
  { name = "isp1", interface = "wan1", gateway = "192.0.2.1",    gateway6 = "2001:db8:f1::1", nat = "masquerade" },
  { name = "isp2", interface = "wan2", gateway = "198.51.100.1", gateway6 = "2001:db8:f2::1", nat = "masquerade" },
  { name = "isp3", interface = "wan3", gateway = "203.0.113.1",  gateway6 = "2001:db8:f3::1", nat = "masquerade" },
]
table = [
  { name = "to-isp2", routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }] },
  { name = "to-isp3", routes = [{ uplink = "isp3" }, { uplink = "isp1", distance = 2 }] },
]
default = { routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }] }
pbr = { offload = "off" }
`

// files are the generated ones: a policy, and the same with one policy changed.
type files struct{ policy, changed string }

func writeFiles(b *testing.B) files {
	b.Helper()
	dir := b.TempDir()
	f := files{filepath.Join(dir, "pbr.toml"), filepath.Join(dir, "changed.toml")}
	texts := map[string]string{f.policy: policyText(-1), f.changed: policyText(changedPolicy)}
	for n := range listFiles {
		texts[filepath.Join(dir, listName(n)+".txt")] = listText(n)
	}
	for path, text := range texts {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return f
}

func listName(n int) string { return fmt.Sprintf("list-%d", n) }

// listText is a list of addresses, prefixes and ranges, one in ten of IPv6, none touching another.
func listText(n int) string {
	var t strings.Builder
	t.WriteString("# generated\n")
	for i := range listEntries / listFiles {
		a, b := i>>8&255, i&255
		switch {
		case i%10 == 9:
			fmt.Fprintf(&t, "2001:db8:%x:%x::/64\n", 0x1000+n, i)
		case n%2 == 0:
			fmt.Fprintf(&t, "%d.%d.%d.%d\n", 20+n, a, b, 2*(i%100))
		case i%3 == 0:
			fmt.Fprintf(&t, "%d.%d.%d.8-%d.%d.%d.77\n", 20+n, a, b, 20+n, a, b)
		default:
			fmt.Fprintf(&t, "%d.%d.%d.64/26\n", 20+n, a, b)
		}
	}
	return t.String()
}

// policyText writes the policies, one of them changed (-1: none).
func policyText(changed int) string {
	var t strings.Builder
	t.WriteString(uplinks + "\n[lists]\n")
	for n := range listFiles {
		fmt.Fprintf(&t, "%s = { file = %q }\n", listName(n), listName(n)+".txt")
	}
	for i := range policies {
		fmt.Fprintf(&t, "\n[[policy]]\nname = \"policy-%d\"\n%s", i, selectors(i))
		if i == changed {
			t.WriteString("default = true\n")
		} else {
			fmt.Fprintf(&t, "table = \"to-isp%d\"\n", 2+i%2)
		}
	}
	return t.String()
}

// selectors are those of policy i, in one of ten shapes.
func selectors(i int) string {
	a, b := i>>8&255, i&255
	switch i % 10 {
	case 0, 1:
		return fmt.Sprintf("src = \"10.%d.%d.1\"\nproto = \"tcp\"\ndport = 443\n", a, b)
	case 2:
		return fmt.Sprintf("src = \"10.%d.%d.0/24\"\ndst = \"172.16.%d.0/24\"\n", a, b, b)
	case 3:
		return fmt.Sprintf("dst = \"11.%d.%d.0/25\"\nproto = \"udp\"\ndport = \"%d-%d\"\n", a, b, 10000+i, 10003+i)
	case 4:
		return fmt.Sprintf("from = \"br-lan\"\nsrc = \"10.%d.%d.7-10.%d.%d.29\"\n", a, b, a, b)
	case 5:
		return fmt.Sprintf("from = [\"br-lan\", \"br-guest\"]\nsrc = \"10.%d.%d.64/26\"\nproto = [\"tcp\", "+
			"\"udp\"]\ndport = [53, \"5060-5061\", %d]\n", a, b, 20000+i)
	case 6:
		return fmt.Sprintf("src = [\"10.%d.%d.128\", \"10.%d.%d.130\", \"10.%d.%d.140/30\"]\ndst = \"!172.20.0.0/16\"\n", a, b, a, b, a, b)
	case 7:
		return fmt.Sprintf("src = \"2001:db8:20:%x::/64\"\nproto = \"tcp\"\ndport = %d\n", i, 1024+i)
	case 8:
		return fmt.Sprintf("dst = \"@%s\"\nproto = \"tcp\"\nsport = %d\n", listName(i/10%listFiles), 30000+i)
	}
	return fmt.Sprintf("src = [\"192.168.10.%d\", \"2001:db8:10::%x\"]\nproto = \"udp\"\ndport = %d\n", b, i, 1024+i)
}
