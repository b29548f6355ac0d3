package boot

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pbr/integration/lab"
)

// farEnd is somewhere in the internet: each provider answers for it.
var farEnd = netip.MustParseAddrPort("203.0.113.80:443")

// Hosts of the LAN, and who has to carry them.
var (
	anybody = netip.MustParseAddr("192.168.10.10")
	guests  = netip.MustParseAddr("192.168.10.130")
)

// policy has a line by DHCP and one with a fixed address: default uses the first, the LAN's upper
// half the second.
func policy(wan1, wan2 string) string {
	return fmt.Sprintf(`[pbr]
sysctl = true
[[uplink]]
name = "isp1"
interface = %q
gateway = "auto"
nat = "masquerade"
check = { targets = "9.9.9.9" }
[[uplink]]
name = "isp2"
interface = %q
gateway = "198.51.100.1"
gateway6 = "2001:db8:f2::1"
nat = "masquerade"
check = { targets = "9.9.9.9" }
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[policy]]
name = "guests"
src = "192.168.10.128/25"
uplink = "isp2"
strict = true
`, wan1, wan2)
}

// routed holds that the router does what the policy says, without a hand: the kernel and the plan
// are the same, units are well, and packets of both kinds leave through their uplinks.
func (g *guest) routed(how string) {
	g.t.Helper()
	if a := g.try("pbr diff"); a.Code != 0 {
		g.t.Errorf("%s: pbr diff: exit status %d\n%s", how, a.Code, a.Output)
	}
	if out := g.run("systemctl --failed --plain --no-legend"); out != "" {
		g.t.Errorf("%s: failed units:\n%s", how, out)
	}
	g.arrives(how, anybody, "isp1", "192.0.2.2")
	g.arrives(how, guests, "isp2", "198.51.100.2")
}

// arrives holds that what a host of the LAN opens arrives at the far end by a provider, from an
// address of the router's.
func (g *guest) arrives(how string, src netip.Addr, by, from string) {
	g.t.Helper()
	var seen lab.Seen
	var err error
	if !lab.Eventually(10*time.Second, func() bool {
		seen, err = g.n.LANs["lan"].AskOnce("tcp", src, farEnd, lab.DialOptions{})
		return err == nil
	}) || seen.By != by || seen.Src.Addr().Unmap().String() != from {
		g.t.Errorf("%s: %s arrives as %+v, %v; want %s from %s", how, src, seen, err, by, from)
	}
}

// applied waits until pbr-apply.service, which goes on waiting for what is missing, has ended well.
func (g *guest) applied() {
	g.t.Helper()
	g.wait("pbr-apply to end", `[ "$(systemctl show -P SubState pbr-apply)" = exited ]`)
	if out := strings.Fields(g.run("systemctl show -P Result -P ExecMainStatus pbr-apply")); len(out) != 2 ||
		out[0] != "success" || out[1] != "0" {
		g.t.Errorf("pbr-apply ended with %v\n%s", out, g.try("journalctl -b --no-pager -u pbr-apply").Output)
	}
}

// watched waits until pbr.service is ready and knows its uplinks.
func (g *guest) watched() {
	g.t.Helper()
	g.wait("pbr to be ready", "systemctl -q is-active pbr")
	g.wait("both uplinks to be up", "pbr status")
}

// nameOf is what the guest calls the interface with an address of macs.
func (g *guest) nameOf(mac string) string {
	g.t.Helper()
	return strings.TrimSpace(g.run(fmt.Sprintf("ip -br link | awk '$3 == %q { print $1 }'", mac)))
}

// install installs the package and a policy, and has one unit start at boot.
func (g *guest) install(unit, wan1, wan2 string) {
	g.t.Helper()
	g.run("apt-get install -y /run/share/old.deb 2>&1")
	g.put("/etc/pbr/pbr.toml", policy(wan1, wan2))
	g.run("pbr check && systemctl enable " + unit + " 2>&1")
}

// instead has another unit start at boot than before.
func (g *guest) instead(unit, before string) {
	g.t.Helper()
	g.run(fmt.Sprintf("systemctl disable %s 2>&1; systemctl enable %s 2>&1", before, unit))
}

// bootsInto boots and holds that the router does what the policy says, by the unit that is enabled.
func (g *guest) bootsInto(unit string) {
	g.t.Helper()
	g.reboot()
	if unit == "pbr" {
		g.watched()
	} else {
		g.applied()
	}
	g.routed("booted with " + unit + " alone")
}

// reconnects takes the first line away and brings it back, with pbr-apply alone: a hook of the
// network's manager applies again.
func (g *guest) reconnects(commands string) {
	g.t.Helper()
	g.run(commands)
	g.wait("what the hook applies", "pbr diff && ip route show table all proto 112 | grep -q 192.0.2.1")
	g.routed("after " + commands)
}

// systemd-networkd, with interfaces that udev renames. The second boot finds what the first one
// left on disk.
func TestBootNetworkd(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	for i, name := range []string{"lan", "wan1", "wan2"} {
		g.put("/etc/systemd/network/10-"+name+".link", fmt.Sprintf("[Match]\nMACAddress=%s\n[Link]\nName=%s\n", macs[i], name))
	}
	g.put("/etc/systemd/network/lan.network", "[Match]\nName=lan\n[Network]\nAddress=192.168.10.1/24\nAddress=2001:db8:10::1/64\n")
	g.put("/etc/systemd/network/wan1.network", "[Match]\nName=wan1\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n[DHCPv4]\nRouteMetric=100\n")
	g.put("/etc/systemd/network/wan2.network",
		"[Match]\nName=wan2\n[Network]\nAddress=198.51.100.2/24\nAddress=2001:db8:f2::2/64\nIPv6AcceptRA=no\n"+
			"[Route]\nGateway=198.51.100.1\nMetric=200\n[Route]\nGateway=2001:db8:f2::1\nMetric=200\n")
	g.run("systemctl enable systemd-networkd networkd-dispatcher 2>&1")
	g.install("pbr-apply", "wan1", "wan2")
	g.bootsInto("pbr-apply")
	g.bootsInto("pbr-apply")
	g.reconnects("networkctl down wan1 && sleep 2 && networkctl up wan1")
	g.instead("pbr", "pbr-apply")
	g.bootsInto("pbr")

	g.restarts()
	g.brokenPolicy()
	g.slowStart()
	g.sandbox()
	g.programs()
	g.dnsmasq()
	g.upgrade()
	g.purge()
}

// NetworkManager, with the names that udev gives by itself (enp0s17 or the like). The watch is the
// first that ever runs.
func TestBootNetworkManager(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	lan, wan1, wan2 := g.nameOf(macs[0]), g.nameOf(macs[1]), g.nameOf(macs[2])
	if strings.HasPrefix(wan1, "eth") {
		t.Errorf("udev renamed nothing: %s", wan1)
	}
	for _, c := range []struct{ name, iface, text string }{
		{"lan", lan, "[ipv4]\nmethod=manual\naddress1=192.168.10.1/24\n[ipv6]\nmethod=manual\naddress1=2001:db8:10::1/64\n"},
		{"first", wan1, "[ipv4]\nmethod=auto\nroute-metric=100\n[ipv6]\nmethod=disabled\n"},
		{"second", wan2, "[ipv4]\nmethod=manual\naddress1=198.51.100.2/24,198.51.100.1\nroute-metric=200\n" +
			"[ipv6]\nmethod=manual\naddress1=2001:db8:f2::2/64,2001:db8:f2::1\nroute-metric=200\n"},
	} {
		file := "/etc/NetworkManager/system-connections/" + c.name + ".nmconnection"
		g.put(file, fmt.Sprintf("[connection]\nid=%s\ntype=ethernet\ninterface-name=%s\n%s", c.name, c.iface, c.text))
		g.run("chmod 600 " + file)
	}
	g.run("systemctl enable NetworkManager NetworkManager-dispatcher NetworkManager-wait-online 2>&1")
	g.install("pbr", wan1, wan2)
	g.bootsInto("pbr")
	g.instead("pbr-apply", "pbr")
	g.bootsInto("pbr-apply")
	g.reconnects(fmt.Sprintf("nmcli device disconnect %s && sleep 2 && nmcli device connect %[1]s", wan1))
}

// ifupdown with dhcpcd, Debian's own way, and the kernel's names, as routers have that were
// upgraded for years. Before that the quick start is typed on the fresh machine.
func TestBootIfupdown(t *testing.T) {
	t.Parallel()
	g := newGuest(t, "net.ifnames=0")
	g.quickstart()
	g.put("/etc/network/interfaces", `auto lo
iface lo inet loopback
auto eth0
iface eth0 inet static
	address 192.168.10.1/24
iface eth0 inet6 static
	address 2001:db8:10::1/64
auto eth1
iface eth1 inet dhcp
	metric 100
auto eth2
iface eth2 inet static
	address 198.51.100.2/24
	gateway 198.51.100.1
	metric 200
iface eth2 inet6 static
	address 2001:db8:f2::2/64
	gateway 2001:db8:f2::1
	metric 200
`)
	g.run("systemctl enable networking 2>&1")
	g.put("/etc/pbr/pbr.toml", policy("eth1", "eth2"))
	g.run("pbr check && systemctl enable pbr-apply 2>&1")
	g.bootsInto("pbr-apply")
	g.instead("pbr", "pbr-apply")
	g.bootsInto("pbr")
}
