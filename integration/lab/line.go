package lab

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
)

// Line is what a provider's line is made of, at the router's end and at the provider's.
type Line string

// The lines that there are.
const (
	// CableLine is a cable alone.
	CableLine Line = ""
	// TunnelLine is a point-to-point device.
	TunnelLine Line = "tunnel"
	// WireGuardLine is a WireGuard tunnel over other providers. It needs "wireguard".
	WireGuardLine Line = "wireguard"
	// VLANLine is tagged on a cable. It needs "vlan".
	VLANLine Line = "vlan"
	// BridgeLine is a bridge, on the router's side, with a cable in it. It needs "bridge".
	BridgeLine Line = "bridge"
	// PPPLine is a session of pppd(8) at both ends, started by StartPPP. It needs "ppp".
	PPPLine Line = "ppp"
)

func (l Line) pointToPoint() bool { return l == TunnelLine || l == WireGuardLine || l == PPPLine }

// CableEnd is the name of the cable below a provider's VLANLine or BridgeLine, in both hosts.
const CableEnd = "cable0"

// vlanID is the tag of a VLANLine, the one that many fibre providers use.
const vlanID = 7

// addLine joins the router and a provider.
func (n *Net) addLine(s ISPSpec, h *Host) {
	n.t.Helper()
	switch s.Line {
	case CableLine:
		n.Veth(n.Router, s.Iface, h, uplinkEnd)
	case TunnelLine:
		n.Tunnel(n.Router, s.Iface, h, uplinkEnd)
	case WireGuardLine:
		n.addCarriers(s, h)
		n.WireGuard(n.Router, s.Iface, h, uplinkEnd, VPNEndpoint)
	case VLANLine:
		n.Veth(n.Router, CableEnd, h, CableEnd)
		for host, dev := range map[*Host]string{n.Router: s.Iface, h: uplinkEnd} {
			host.IP(
				fmt.Sprintf("link add link %s name %s type vlan id %d", CableEnd, dev, vlanID),
				fmt.Sprintf("link set %s up", dev),
			)
		}
	case BridgeLine:
		n.Router.IP(fmt.Sprintf("link add %s type bridge", s.Iface), fmt.Sprintf("link set %s up", s.Iface))
		n.Veth(n.Router, CableEnd, h, uplinkEnd)
		n.Router.IP(fmt.Sprintf("link set %s master %s", CableEnd, s.Iface))
	case PPPLine:
		n.StartPPP(s.Name)
	default:
		n.t.Fatalf("provider %s: lab knows no line %q", s.Name, s.Line)
	}
}

// pppdArgs are for both ends of a session. The machine's own /etc/ppp/options is read before them.
var pppdArgs = []string{"nodetach", "local", "noauth", "nocrtscts", "nolock", "noipv6", "noproxyarp", "nodefaultroute"}

// StartPPP starts a session to a provider of a PPPLine, and returns when its device has its IPv4
// addresses.
func (n *Net) StartPPP(isp string) {
	n.t.Helper()
	s, h := n.specOf(isp), n.ISPs[isp]
	// The provider's end talks over the standard input and output of a command that the router's
	// end starts.
	far := append([]string{"exec ip netns exec", h.NS, "pppd notty ifname", uplinkEnd,
		fmt.Sprintf("%s:%s", s.Gateway4, s.Router4.Addr())}, pppdArgs...)
	near := append([]string{"pty", strings.Join(far, " "), "ifname", s.Iface,
		fmt.Sprintf("%s:%s", s.Router4.Addr(), s.Gateway4)}, pppdArgs...)
	cmd := n.Router.Command("pppd", near...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	// A group of its own: both ends are ended by one signal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.Router.Start(cmd); err != nil {
		n.t.Fatalf("starting pppd: %v", err)
	}
	n.ppp[isp] = cmd
	n.t.Cleanup(func() {
		n.HangUpPPP(isp)
		if n.t.Failed() {
			n.t.Logf("pppd said:\n%s", &said)
		}
	})
	has := func(h *Host, dev string) bool {
		return strings.Contains(h.Exec("ip", "-4", "addr", "show", "dev", dev).Stdout, "inet ")
	}
	WaitFor(n.t, "the PPP session of "+isp, func() bool { return has(n.Router, s.Iface) && has(h, uplinkEnd) })
}

// HangUpPPP ends a session, if there is one: both ends lose their device.
func (n *Net) HangUpPPP(isp string) {
	cmd := n.ppp[isp]
	if cmd == nil {
		return
	}
	delete(n.ppp, isp)
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	_ = cmd.Wait()
}
