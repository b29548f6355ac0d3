package integration

import (
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// The VPN network with a real tunnel in it, through the only line there is. Its own packets must not go into it.
func TestVMWireGuardNetwork(t *testing.T) {
	t.Parallel()
	lab.NeedKernel(t, "wireguard")
	lab.NeedProgram(t, "wg")
	spec := vpnSpec()
	spec.ISPs[1].Line, spec.ISPs[1].Over = lab.WireGuardLine, []string{"isp1"}
	checkVPN(t, spec)
}

// tunnelPolicy sends everything through a tunnel, which has two lines to run over. When it is dead, the lines are used themselves; host .12
// has nothing but the tunnel.
const tunnelPolicy = `
[check]
interval = "100ms"
timeout = "300ms"
down-after = 2
up-after = 2
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
nat = "masquerade"
check = { method = "ping", targets = "9.9.9.9" }
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
nat = "masquerade"
check = { method = "ping", targets = "9.9.9.9" }
[[uplink]]
name = "vpn"
interface = "tun0"
nat = "masquerade"
# Slower than the lines below, which fail first and take the tunnel along to the next.
check = { method = "ping", targets = "10.99.0.1", down-after = 12 }
[[table]]
name = "lines"
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[table]]
name = "only-vpn"
routes = { uplink = "vpn" }
strict = true
[default]
routes = [{ uplink = "vpn" }, { uplink = "isp1", distance = 2 }, { uplink = "isp2", distance = 3 }]
[[policy]]
name = "private"
src = "192.168.10.12"
table = "only-vpn"
# A policy and not a rule: WireGuard keeps the source address that it had first, and that address's own rule leads to its line.
[[policy]]
name = "tunnel"
from = "local"
dst = "198.19.51.1"
proto = "udp"
dport = 51820
table = "lines"
`

// A tunnel moves from a dead line to the next with all that is in it; when its far end is lost, its clients use the lines, but for
// those that must not.
func TestVMWireGuardFailover(t *testing.T) {
	t.Parallel()
	lab.NeedKernel(t, "wireguard")
	lab.NeedProgram(t, "wg")
	vpn := lab.ISP(3)
	vpn.Name, vpn.Iface = "vpn", "tun0"
	vpn.Line, vpn.Over = lab.WireGuardLine, []string{"isp1", "isp2"}
	w := newWatchedNet(t, tunnelPolicy, lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12)},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2), vpn},
	})
	w.start()
	for _, uplink := range []string{"isp1", "isp2", "vpn"} {
		w.waitState(uplink, "up")
	}
	inside := w.calls(2, byDefault, "vpn")
	private := w.calls(2, byStrict, "vpn")

	w.dead("isp1", "9.9.9.9", lab.VPNEndpoint.Addr().String())
	w.waitState("isp1", "down")
	w.waitArrives(byDefault, "vpn")
	inside.stillUp("the line below the tunnel failed")
	private.stillUp("the line below the tunnel failed")
	if from := w.tunnelFrom(); from != "198.51.100.2" {
		t.Errorf("the tunnel comes from %s, not by the line that is left", from)
	}

	// Its far end has another key now: it answers nothing.
	peer := strings.TrimSpace(w.ISPs["vpn"].Run("wg", "show", "up0", "peers"))
	w.ISPs["vpn"].Run("wg", "set", "up0", "peer", peer, "remove")
	w.waitState("vpn", "down")
	w.waitArrives(byDefault, "isp2")
	if by := w.arrives(byStrict); by != "" {
		t.Errorf("host %s gets out by %s, past the tunnel", byStrict, by)
	}
	if n := inside.broken(); n != 2 {
		t.Errorf("%d of 2 connections through the dead tunnel were cut", n)
	}

	w.ISPs["vpn"].Run("wg", "set", "up0", "peer", peer, "allowed-ips", "0.0.0.0/0,::/0")
	w.waitState("vpn", "up")
	w.waitArrives(byDefault, "vpn")
	w.waitArrives(byStrict, "vpn")
	if line := w.logLine("level=ERROR"); line != "" {
		t.Error(line)
	}
}

// tunnelFrom tells where the tunnel's packets come from, as its far end sees them.
func (w *watched) tunnelFrom() string {
	w.t.Helper()
	// PEER ADDRESS:PORT
	words := strings.Fields(w.ISPs["vpn"].Run("wg", "show", "up0", "endpoints"))
	if len(words) != 2 {
		w.t.Fatalf("wg show endpoints: %q", words)
	}
	from, err := netip.ParseAddrPort(words[1])
	if err != nil {
		w.t.Fatal(err)
	}
	return from.Addr().String()
}
