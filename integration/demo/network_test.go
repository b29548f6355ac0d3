package demo

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
)

const picture = `
laptop  192.168.10.10 ──┐                  ┌── wan1  isp1  192.0.2.0/24     2001:db8:f1::/64   the usual way
phone   192.168.20.10 ──┼──  router (pbr) ─┼── wan2  isp2  198.51.100.0/24  2001:db8:f2::/64
server  192.168.30.10 ──┘                  └── tun0  vpn   203.0.113.0/24   a tunnel to the office
`

// serverPort is where the server behind the router listens; port 443 of both providers' addresses
// leads there.
const serverPort = 8443

// forwarding is a table of somebody else's: pbr has to live with it, and leave it alone.
const forwarding = `table ip port-forwarding {
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		iifname { "wan1", "wan2" } tcp dport 443 dnat to 192.168.30.10:8443
	}
}
`

// network builds what the picture shows.
func network(t *testing.T) *lab.Net {
	t.Helper()
	vpn := lab.ISP(3)
	vpn.Name, vpn.Iface, vpn.Line = "vpn", "tun0", lab.TunnelLine
	vpn.Router6, vpn.Gateway6 = netip.Prefix{}, netip.Addr{}
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{
			lab.LAN("laptop", "lan", 10, 10),
			lab.LAN("phone", "voice", 20, 10),
			lab.LAN("server", "dmz", 30, 10),
		},
		ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2), vpn},
	})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	n.LANs["server"].ServeEcho(serverPort)
	n.Router.NFT(forwarding)
	return n
}

// unplug takes the far end of a line down; the router loses the carrier.
func (s *show) unplug(isp string) {
	s.t.Helper()
	for _, spec := range s.Spec.ISPs {
		if spec.Name != isp {
			continue
		}
		s.ISPs[isp].IP("link set up0 down")
		lab.WaitFor(s.t, "the loss of "+spec.Iface+"'s carrier", func() bool {
			return strings.Contains(s.Router.Run("ip", "link", "show", "dev", spec.Iface), "NO-CARRIER")
		})
	}
}

// plugIn undoes unplug. The provider lost its IPv6 address with the line; the router kept its own.
func (s *show) plugIn(isp string) {
	s.t.Helper()
	for _, spec := range s.Spec.ISPs {
		if spec.Name != isp {
			continue
		}
		s.ISPs[isp].IP("link set up0 up")
		if spec.Gateway6.IsValid() {
			s.ISPs[isp].IP6(fmt.Sprintf("addr replace %s/%d dev up0", spec.Gateway6, spec.Router6.Bits()))
		}
		lab.WaitFor(s.t, spec.Iface+"'s carrier", func() bool {
			return !strings.Contains(s.Router.Run("ip", "link", "show", "dev", spec.Iface), "NO-CARRIER")
		})
	}
}
