package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// beside are rules that select what policies steer, by every selector that an answer's reverse
// look-up could meet.
var beside = map[string]string{
	"drop by src":        `src = ["192.168.10.0/24", "2001:db8:10::/64"]` + "\naction = \"drop\"",
	"unreachable by src": `src = ["192.168.10.0/24", "2001:db8:10::/64"]` + "\naction = \"unreachable\"",
	"prohibit by dst":    `dst = ["9.9.9.9", "2001:db8:ffff::9"]` + "\naction = \"prohibit\"",
	"drop by iif":        "iif = \"br-lan\"\naction = \"drop\"",
	"drop by proto":      "proto = [\"udp\", \"tcp\"]\naction = \"drop\"",
	"strict table":       `src = ["192.168.10.0/24", "2001:db8:10::/64"]` + "\ntable = \"nowhere\"",
	"only in table":      `src = ["192.168.10.0/24", "2001:db8:10::/64"]` + "\naction = \"lookup-only-in-table\"\ntable = \"elsewhere\"",
}

// besidePolicy is one of twoUplinks and of isp2 for host .11, default's for host .12, with a rule
// for all of them.
func besidePolicy(settings, rule string) string {
	return strings.Replace(twoUplinks, "[pbr]", "[pbr]\n"+settings, 1) + `
[[table]]
name = "nowhere"
routes = { uplink = "isp2", dst = "10.99.0.0/16" }
strict = true
[[table]]
name = "elsewhere"
routes = { uplink = "isp2", dst = "10.99.0.0/16" }
[[policy]]
name = "exempt"
src = ["192.168.10.12", "2001:db8:10::12"]
default = true
[[policy]]
name = "the-router"
from = "local"
dport = 5353
uplink = "isp2"
[[rule]]
name = "beside"
` + rule + "\n"
}

// besideRule are connections that the rule alone selects.
var besideRule = []flow{
	{name: "the rule's", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:53"},
	{name: "the rule's", from: "lan", network: "udp", src: "2001:db8:10::10", dst: "[2001:db8:ffff::9]:53"},
}

// besideFlows are what policies say of connections that the rule selects, too.
func besideFlows(network string) (out []flow) {
	for _, v := range []struct{ src, dst, isp1, isp2 string }{
		{"192.168.10.", "9.9.9.9", "192.0.2.2", "198.51.100.2"},
		{"2001:db8:10::", "[2001:db8:ffff::9]", "2001:db8:f1::2", "2001:db8:f2::2"},
	} {
		out = append(out,
			flow{name: "steered", from: "lan", network: network, src: v.src + "11", dst: v.dst + ":53", isp: "isp2",
				nat: v.isp2, pin: "isp2"},
			flow{name: "default's", from: "lan", network: network, src: v.src + "12", dst: v.dst + ":53", isp: "isp1",
				nat: v.isp1, pin: "isp1"},
		)
	}
	return out
}

// A packet is steered by a policy or by rules, never by both: a rule that refuses what it selects
// takes nothing of what a policy has decided, neither the packets nor the kernel's reverse look-up
// of their answers.
func TestRulesBesidePolicies(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10, 11, 12)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	for _, isp := range n.ISPs {
		isp.ServeInternet()
	}
	s := &scenario{Net: n, t: t, router: newRouter(n.Router)}
	for name, rule := range beside {
		for _, mainFirst := range []string{"specific", "off"} {
			for _, reverse := range []string{"kernel", "nft"} {
				s.router.apply(besidePolicy(fmt.Sprintf("sysctl = true\nmain-first = %q\nreverse-path = %q", mainFirst, reverse), rule))
				s.router.inSync()
				s.readMarks()
				for _, rpFilter := range []string{"0", "1", "2"} {
					if reverse == "nft" && rpFilter != "0" {
						continue // pbr sets it
					}
					if mainFirst == "off" && rpFilter != "0" && strings.Contains(name, "proto") {
						continue // such a rule comes before main's route to the LAN, also when the kernel judges what arrives from there
					}
					n.Router.Sysctl("net/ipv4/conf/all/rp_filter", rpFilter) // the uplinks have 2
					n.Router.Run("conntrack", "-F")
					flows := besideFlows("udp")
					if rpFilter == "2" {
						flows = append(flows, besideFlows("tcp")...)
					} else if mainFirst == "specific" {
						flows = append(flows, besideRule...)
					}
					for i, f := range flows {
						flows[i].name = fmt.Sprintf("%s, %s, %s, rp_filter %s: %s to %s", name, mainFirst, reverse, rpFilter, f.name, f.dst)
					}
					s.check(flows)
				}
				n.Router.Sysctl("net/ipv4/conf/all/rp_filter", "0")
			}
		}
	}
}

// Where sysctl = true is not there, and the machine judges answers without their marks, a rule that
// refuses drops them: apply, check --live and doctor say so, and the command that they name repairs
// it.
func TestRefusedAnswersAreTold(t *testing.T) {
	t.Parallel()
	n := lab.Build(lab.New(t), lab.Spec{LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 11)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}})
	n.ISPs["isp2"].ServeInternet()
	r := newRouter(n.Router)
	for _, iface := range []string{"wan1", "wan2"} {
		n.Router.Sysctl("net/ipv4/conf/"+iface+"/rp_filter", "2")
		n.Router.Sysctl("net/ipv4/conf/"+iface+"/src_valid_mark", "0")
	}
	answered := func(t *testing.T, port int) bool {
		c, err := n.LANs["lan"].Dial("udp", netip.MustParseAddr("192.168.10.11"),
			netip.AddrPortFrom(netip.MustParseAddr("9.9.9.9"), uint16(port)), lab.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		seen, err := c.Ask()
		return err == nil && seen.By == "isp2"
	}
	r.write(besidePolicy("sysctl = false", beside["drop by src"]))
	const told, problem = "[refused-answers]", "[[rule]]s that refuse packets also drop answers"
	step := steps.Of(t)
	step.Run("apply tells", func(t *testing.T) {
		if out := r.pbr("apply").Stderr; !strings.Contains(out, "problem: src_valid_mark") || !strings.Contains(out, problem) {
			t.Errorf("apply: %s", out)
		}
	})
	step.Run("check tells", func(t *testing.T) {
		if out := r.pbr("check", "--live").Stderr; !strings.Contains(out, told) || !strings.Contains(out, "arrive on wan1, wan2") {
			t.Errorf("check --live: %s", out)
		}
	})
	step.Run("doctor tells, and fails", func(t *testing.T) {
		if out := r.pbr("doctor"); out.Code != 1 || !strings.Contains(out.Stdout, problem) {
			t.Errorf("doctor: %+v", out)
		}
	})
	step.Run("the answer is refused indeed", func(t *testing.T) {
		if answered(t, 5000) {
			t.Error("the answer comes although the rule refuses it")
		}
	})
	step.Run("with src_valid_mark it comes, and nothing is told", func(t *testing.T) {
		for _, iface := range []string{"wan1", "wan2"} {
			n.Router.Sysctl("net/ipv4/conf/"+iface+"/src_valid_mark", "1")
		}
		if !answered(t, 5001) {
			t.Error("no answer with src_valid_mark = 1")
		}
		if out := r.pbr("apply").Stderr + r.pbr("check", "--live").Stderr; strings.Contains(out, told) || strings.Contains(out, problem) {
			t.Errorf("told all the same: %s", out)
		}
	})
}

// What a policy leaves to default meets no rule: the first match decides. So it is for the router's
// own packets, where main serves as default and sends them by no uplink, and where a balance has no
// member to offer. Sockets bound to an uplink's address use it anyway.
func TestDefaultPolicyBeforeRules(t *testing.T) {
	t.Parallel()
	s := halfDefaultNet(t) // main's default routes lead to isp3, which is not an uplink
	const exempt = `
[[balance]]
name = "nobody"
members = { table = "elsewhere" }
[[table]]
name = "elsewhere"
routes = { uplink = "isp9" }
[[uplink]]
name = "isp9"
interface = "absent0"
nat = "masquerade"
[[policy]]
name = "exempt"
from = ["local", "br-lan"]
dport = [53, 8000]
default = true
[[policy]]
name = "balanced"
dport = 54
balance = "nobody"
[[rule]]
name = "closed"
proto = ["udp", "tcp"]
action = "unreachable"
`
	for _, mainFirst := range []string{"specific", "connected", "off"} {
		policy := strings.Replace(twoUplinks, "[pbr]", fmt.Sprintf("[pbr]\nsysctl = true\nmain-first = %q", mainFirst), 1) + exempt
		s.halfDefaultsUnder(mainFirst, policy, []flow{
			{name: "exempt", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:53", isp: "isp1",
				nat: "192.0.2.2", pin: "isp1"},
			{name: "exempt", from: "lan", network: "tcp", src: "2001:db8:10::10", dst: "[2001:db8:ffff::9]:53",
				isp: "isp1", nat: "2001:db8:f1::2", pin: "isp1"},
			{name: "balance without members", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:54",
				isp: "isp1", nat: "192.0.2.2", pin: "isp1"},
			{name: "the router's own, bound", from: "router", network: "udp", src: "198.51.100.2", dst: "9.9.9.9:53",
				isp: "isp2", nat: "198.51.100.2", pin: "isp2"},
			{name: "the rule's", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:55"},
			{name: "the rule's", from: "lan", network: "udp", src: "2001:db8:10::10", dst: "[2001:db8:ffff::9]:55"},
		})
		s.halfDefaultsUnder(mainFirst+", no default",
			strings.Replace(policy, "[default]\nroutes = [{ uplink = \"isp1\" }]\n", "", 1), []flow{
				{name: "exempt", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:53", isp: "isp3",
					nat: "192.168.10.10", pin: "default"},
				{name: "exempt", from: "lan", network: "tcp", src: "2001:db8:10::10", dst: "[2001:db8:ffff::9]:53",
					isp: "isp3", nat: "2001:db8:10::10", pin: "default"},
				{name: "the rule's", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:55"},
			})
	}
}

// A rule can lead to default's table and to main, as an exception from rules behind it.
func TestRulesToDefaultAndMain(t *testing.T) {
	t.Parallel()
	s := halfDefaultNet(t)
	const rules = `
[[rule]]
name = "to-default"
src = ["192.168.10.10", "2001:db8:10::10"]
table = "default"
[[rule]]
name = "to-main"
src = ["192.168.10.12", "2001:db8:10::12"]
table = "main"
[[rule]]
name = "only-main"
dst = "9.9.9.77"
table = "main"
action = "lookup-only-in-table"
[[rule]]
name = "rest"
iif = "br-lan"
uplink = "isp2"
`
	for _, mainFirst := range []string{"specific", "off"} {
		policy := strings.Replace(twoUplinks, "[pbr]", fmt.Sprintf("[pbr]\nsysctl = true\nmain-first = %q", mainFirst), 1) + rules
		policy = strings.Replace(policy, "src = [\"192.168.10.11\", \"2001:db8:10::11\"]", "dport = 5353", 1)
		common := []flow{
			{name: "main", from: "lan", network: "udp", src: "192.168.10.12", dst: "9.9.9.9:53", isp: "isp3", nat: "192.168.10.12"},
			{name: "main", from: "lan", network: "udp", src: "2001:db8:10::12", dst: "[2001:db8:ffff::9]:53",
				isp: "isp3", nat: "2001:db8:10::12"},
			{name: "only main", from: "lan", network: "udp", src: "192.168.10.11", dst: "9.9.9.77:53", isp: "isp3", nat: "192.168.10.11"},
			{name: "rest", from: "lan", network: "udp", src: "192.168.10.11", dst: "9.9.9.9:53", isp: "isp2",
				nat: "198.51.100.2", pin: "isp2/strict"},
		}
		s.halfDefaultsUnder(mainFirst, policy, append(common, []flow{
			{name: "default", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:53", isp: "isp1", nat: "192.0.2.2"},
			{name: "default", from: "lan", network: "udp", src: "2001:db8:10::10", dst: "[2001:db8:ffff::9]:53",
				isp: "isp1", nat: "2001:db8:f1::2"},
		}...))
		s.halfDefaultsUnder(mainFirst+", no default",
			strings.Replace(policy, "[default]\nroutes = [{ uplink = \"isp1\" }]\n", "", 1), append(common, []flow{
				{name: "default is main", from: "lan", network: "udp", src: "192.168.10.10", dst: "9.9.9.9:53",
					isp: "isp3", nat: "192.168.10.10"},
			}...))
	}
}
