package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// halfDefaults are what VPN programs lay over a default route: OpenVPN's redirect-gateway def1, and
// its IPv6 forms.
var halfDefaults = map[string][]string{
	"-4": {"0.0.0.0/1", "128.0.0.0/1"},
	"-6": {"::/3", "2000::/3", "2000::/4", "3000::/4", "::/1", "8000::/1"},
}

// halfDefaultPolicy steers one host to isp2, keeps another in a strict table, and sends the rest
// where default or main says.
const halfDefaultPolicy = `
[[table]]
name = "only-isp2"
routes = { uplink = "isp2" }
strict = true
[[policy]]
name = "kept"
src = ["192.168.10.12", "2001:db8:10::12"]
table = "only-isp2"
`

// halfDefaultNet is a router whose main table sends everything to isp3, which is nobody's uplink,
// by half-default routes.
func halfDefaultNet(t *testing.T) *scenario {
	t.Helper()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2), lab.ISP(3)},
	})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	gateways := map[string]string{"-4": "203.0.113.1", "-6": "2001:db8:f3::1"}
	for family, prefixes := range halfDefaults {
		n.Router.Run("ip", family, "route", "add", "default", "via", gateways[family], "dev", "wan3")
		for _, p := range prefixes {
			n.Router.Run("ip", family, "route", "add", p, "via", gateways[family], "dev", "wan3")
		}
	}
	return &scenario{Net: n, t: t, router: newRouter(n.Router)}
}

// Half-default routes in main count as default routes: they take nothing of policies, strict tables
// and [default].
func TestHalfDefaultRoutes(t *testing.T) {
	t.Parallel()
	s := halfDefaultNet(t)
	flows := func(main bool) []flow {
		rest, nat4, nat6 := "isp1", "192.0.2.2", "2001:db8:f1::2"
		if main {
			rest, nat4, nat6 = "isp3", "", ""
		}
		var out []flow
		for _, dst := range []string{"9.9.9.9:53", "200.9.9.9:53", "[2001:db8:ffff::9]:53", "[3001:db8:ffff::9]:53"} {
			src, nats := "192.168.10.%s", [3]string{"192.168.10.10", nat4, "198.51.100.2"}
			if strings.HasPrefix(dst, "[") {
				src, nats = "2001:db8:10::%s", [3]string{"2001:db8:10::10", nat6, "2001:db8:f2::2"}
			}
			rest4 := nats[1]
			if main {
				rest4 = nats[0] // nobody's uplink, so nobody translates
			}
			pin := ""
			out = append(out,
				flow{name: "rest to " + dst, from: "lan", network: "udp", src: fmt.Sprintf(src, "10"), dst: dst,
					isp: rest, nat: rest4, pin: pin},
				flow{name: "policy to " + dst, from: "lan", network: "udp", src: fmt.Sprintf(src, "11"), dst: dst,
					isp: "isp2", nat: nats[2], pin: "isp2"},
				flow{name: "strict to " + dst, from: "lan", network: "udp", src: fmt.Sprintf(src, "12"), dst: dst,
					isp: "isp2", nat: nats[2], pin: "isp2/strict"},
			)
			if !main {
				out = append(out, flow{name: "the router's own to " + dst, from: "router", network: "udp", dst: dst,
					isp: "isp1", nat: nats[1]})
			}
		}
		return out
	}
	for _, mainFirst := range []string{"specific", "connected", "off"} {
		for _, reverse := range []string{"kernel", "nft"} {
			head := fmt.Sprintf("[pbr]\nsysctl = true\nmain-first = %q\nreverse-path = %q", mainFirst, reverse)
			policy := strings.Replace(twoUplinks, "[pbr]", head, 1) + halfDefaultPolicy
			s.halfDefaultsUnder(mainFirst+", "+reverse, policy, flows(false))
			s.halfDefaultsUnder(mainFirst+", "+reverse+", no default",
				strings.Replace(policy, "[default]\nroutes = [{ uplink = \"isp1\" }]\n", "", 1), flows(true))
		}
	}
	s.killSwitchWithoutItsUplink()
}

// The doctor names half-default routes and what they mean, and gateway = "auto" learns the gateway
// from them.
func TestDoctorOnHalfDefaultRoutes(t *testing.T) {
	t.Parallel()
	s := halfDefaultNet(t)
	isp3 := strings.Replace(twoUplinks, "[[table]]",
		"[[uplink]]\nname = \"isp3\"\ninterface = \"wan3\"\ngateway = \"auto\"\nnat = \"masquerade\"\n[[table]]", 1)
	for policy, want := range map[string]string{
		twoUplinks: "and so does [default]: nothing uses them - if everything should use wan3",
		strings.Replace(twoUplinks, "[default]\nroutes = [{ uplink = \"isp1\" }]\n", "",
			1): "there is no [default], so what no policy catches uses them",
		strings.Replace(isp3, "[{ uplink = \"isp1\" }]", "[{ uplink = \"isp1\" }, { uplink = \"isp3\", distance = 2 }]",
			1): "and so does [default]: wan3 is one of its uplinks",
	} {
		s.router.apply(policy)
		if out := s.router.pbr("doctor").Stdout; !strings.Contains(out, "main sends 0.0.0.0/1, 128.0.0.0/1, ") ||
			!strings.Contains(out, want) {
			t.Errorf("pbr doctor does not say %q:\n%s", want, out)
		}
	}
	s.Router.Run("ip", "route", "del", "default")
	s.router.apply(strings.Replace(isp3, "[{ uplink = \"isp1\" }]", "[{ uplink = \"isp3\" }]", 1))
	s.check([]flow{{name: "by the learned gateway", from: "lan", network: "udp", src: "192.168.10.10",
		dst: "9.9.9.9:53", isp: "isp3", nat: "203.0.113.2"}})
}

func (s *scenario) halfDefaultsUnder(name, policy string, flows []flow) {
	s.t.Helper()
	s.router.apply(policy)
	s.router.inSync()
	s.readMarks()
	s.router.Run("conntrack", "-F")
	named := slices.Clone(flows)
	for i := range named {
		named[i].name = name + ": " + named[i].name
	}
	s.check(named)
}

// killSwitchWithoutItsUplink takes the strict table's only uplink away: what it catches gets
// nowhere, whatever main has.
func (s *scenario) killSwitchWithoutItsUplink() {
	s.t.Helper()
	s.router.apply(twoUplinks + halfDefaultPolicy)
	s.Router.IP("link set wan2 down")
	s.router.must("apply")
	s.Router.Run("conntrack", "-F")
	s.check([]flow{
		{name: "kill switch, IPv4", from: "lan", network: "udp", src: "192.168.10.12", dst: "9.9.9.9:53"},
		{name: "kill switch, IPv6", from: "lan", network: "udp", src: "2001:db8:10::12", dst: "[2001:db8:ffff::9]:53"},
	})
}
