package integration

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// The VPN network with a real tunnel in it, through the only line there is. Its own packets must
// not go into it.
func TestVMWireGuardNetwork(t *testing.T) {
	t.Parallel()
	lab.NeedKernel(t, "wireguard")
	lab.NeedProgram(t, "wg")
	spec := vpnSpec()
	spec.ISPs[1].Line, spec.ISPs[1].Over = lab.WireGuardLine, []string{"isp1"}
	checkVPN(t, spec)
}

// tunnelPolicy is the example of docs/vpn.md in this network, with checks that take less time.
func tunnelPolicy(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/vpn.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```toml\n")
	example, _, found := strings.Cut(example, "```\n")
	if !found {
		t.Fatal("docs/vpn.md has no example")
	}
	quick := "check = { interval = \"100ms\", timeout = \"300ms\", down-after = 2, up-after = 2 }\n"
	return quick + strings.NewReplacer("eth1", "wan1", "eth2", "wan2", "wg0", "tun0", "203.0.113.51",
		lab.VPNEndpoint.Addr().String()).Replace(example)
}

// A tunnel moves from a dead line to the next with all that is in it; when its far end is lost, its
// clients use the lines, except for those that must not.
func TestVMWireGuardFailover(t *testing.T) {
	t.Parallel()
	lab.NeedKernel(t, "wireguard")
	lab.NeedProgram(t, "wg")
	vpn := lab.ISP(3)
	vpn.Name, vpn.Iface = "vpn", "tun0"
	vpn.Line, vpn.Over = lab.WireGuardLine, []string{"isp1", "isp2"}
	w := newWatchedNet(t, tunnelPolicy(t), lab.Spec{
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
		t.Errorf("%d of 2 connections through the dead tunnel were flushed", n)
	}

	w.ISPs["vpn"].Run("wg", "set", "up0", "peer", peer, "allowed-ips", "0.0.0.0/0,::/0")
	w.waitState("vpn", "up")
	w.waitArrives(byDefault, "vpn")
	w.waitArrives(byStrict, "vpn")
	if line := w.logLine("level=ERROR"); line != "" {
		t.Error(line)
	}
}

// tunnelFrom returns where the tunnel's packets come from, as its far end sees them.
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
