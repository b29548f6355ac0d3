package render

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// scriptShells are the shells that a script is to run under; dash is Debian's sh, the others run
// where they are installed.
func scriptShells(t *testing.T) [][]string {
	shells := [][]string{{"sh"}}
	for _, s := range [][]string{{"busybox", "ash"}, {"bash", "--posix"}} {
		if _, err := exec.LookPath(s[0]); err == nil {
			shells = append(shells, s)
		} else {
			t.Logf("%s is not installed: not tried", s[0])
		}
	}
	return shells
}

// TestScriptSyntax asks shells, and shellcheck where it is installed, about scripts with and
// without every function.
func TestScriptSyntax(t *testing.T) {
	for name, p := range map[string]*plan.Plan{"wide": widePlan(), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name+".sh")
			if err := os.WriteFile(file, []byte(scriptText(t, p)), 0o700); err != nil {
				t.Fatal(err)
			}
			var checks [][]string
			for _, s := range scriptShells(t) {
				checks = append(checks, append(s, "-n", file))
			}
			if _, err := exec.LookPath("shellcheck"); err == nil {
				checks = append(checks, []string{"shellcheck", "-s", "sh", file})
			} else {
				t.Log("shellcheck is not installed: not tried")
			}
			for _, c := range checks {
				if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
					t.Errorf("%s plan, %s: %v\n%s", name, c[0], err, out)
				}
			}
		})
	}
}

// TestKernelScript runs a script of everything twice in each shell, and compares with the ip
// commands and the nft text.
func TestKernelScript(t *testing.T) {
	p := widePlan()
	in := scriptText(t, p)
	for _, shell := range scriptShells(t) {
		t.Run(shell[0], func(t *testing.T) {
			n := newNamespace(t)
			n.links()
			n.run("ip route add default via 198.51.100.9 dev eth2 metric 7; ip -6 route add default via "+
				"fe80::9 dev eth2 metric 7", "sh", "-e")
			for range 2 {
				_, said, err := n.try(ownIP(t)+in, shell[0], append(shell[1:], "-eu")...)
				if err != nil || said != "" {
					t.Fatalf("%v, stderr: %s", err, said)
				}
				checkScript(t, n, p)
			}
			stale := *p
			stale.Routes, stale.Rules, stale.Dynamic = p.Routes[:1], nil, nil
			n.run(ownIP(t)+scriptText(t, &stale), shell[0], append(shell[1:], "-eu")...)
			checkRoutesAndRules(t, n, ipText(t, &stale))
		})
	}
}

// ownIP keeps busybox from taking its own small ip, which has neither multipath routes nor
// protocols of rules.
func ownIP(t *testing.T) string {
	path, err := exec.LookPath("ip")
	if err != nil {
		t.Fatal(err)
	}
	return "ip() { " + path + ` "$@"; }` + "\n"
}

// checkScript compares the kernel with p on a machine where eth2's gateways are 198.51.100.9 and
// fe80::9.
func checkScript(t *testing.T, n namespace, p *plan.Plan) {
	t.Helper()
	want := strings.NewReplacer(
		"# ip -4 route replace default via GATEWAY", "ip -4 route replace default via 198.51.100.9",
		"# ip -6 route replace default via GATEWAY", "ip -6 route replace default via fe80::9",
		"# ip -4 rule add priority 10001 from all to NETWORK lookup main protocol 112",
		"ip -4 rule add priority 10001 from all to 192.0.2.0/24 lookup main protocol 112\n"+
			"ip -4 rule add priority 10001 from all to 198.51.100.0/24 lookup main protocol 112",
		"# ip -6 rule add priority 10001 from all to NETWORK lookup main protocol 112",
		"ip -6 rule add priority 10001 from all to 2001:db8:1::/64 lookup main protocol 112\n"+
			"ip -6 rule add priority 10001 from all to 2001:db8:2::/64 lookup main protocol 112",
		"# ip -4 rule add priority 10400 from ADDRESS", "ip -4 rule add priority 10400 from 192.0.2.2",
		"# ip -6 rule add priority 10400 from ADDRESS", "ip -6 rule add priority 10400 from 2001:db8:1::2",
	).Replace(ipText(t, p))
	checkRoutesAndRules(t, n, want)
	for _, s := range p.Sysctls {
		if got := strings.TrimSpace(n.run("", "cat", "/proc/sys/"+s.Path)); got != s.Value {
			t.Errorf("%s is %s, not %s", s.Path, got, s.Value)
		}
	}
	if got := n.run("", "nft", "list", "chains", "inet"); strings.Count(got, "\tchain ") != len(p.Ruleset.Chains) {
		t.Errorf("nft has\n%s", got)
	}
}

// TestKernelScriptMissing runs a script where one interface is down and the other not there at all.
func TestKernelScriptMissing(t *testing.T) {
	n := newNamespace(t)
	n.run("ip link add eth1 type veth peer name peer1", "sh")
	p := widePlan()
	_, said, err := n.try(scriptText(t, p), "sh")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Run("each interface is reported", func(t *testing.T) {
		if want := "pbr: interface eth1 left out: it is down\npbr: interface eth2 left out: it does not exist\n"; said != want {
			t.Errorf("stderr is %q, not %q", said, want)
		}
	})
	t.Run("routes without an interface stand", func(t *testing.T) {
		routes := n.run("", "ip", "-4", "-o", "route", "show", "table", "all", "proto", "112")
		if strings.Contains(routes, "eth") || strings.Count(routes, "\n") != 4 {
			t.Errorf("routes:\n%s", routes)
		}
	})
	t.Run("the table of nftables is there", func(t *testing.T) {
		if n.run("", "nft", "list", "table", "inet", plan.TableName) == "" {
			t.Error("no nftables table")
		}
	})
}

// TestKernelScriptOneHop runs a multipath route of which one interface is missing: the other hop
// stays.
func TestKernelScriptOneHop(t *testing.T) {
	n := newNamespace(t)
	n.links()
	n.run("ip link delete eth2", "sh")
	p := &plan.Plan{Routes: []plan.Route{route("0.0.0.0/0", 100, 1, hop("eth1", "192.0.2.1"), hop("eth2", "198.51.100.1"))}}
	_, said, err := n.try(scriptText(t, p), "sh")
	if err != nil || said != "pbr: interface eth2 left out: it does not exist\n" {
		t.Fatalf("%v, stderr %q", err, said)
	}
	checkRoutesAndRules(t, n, "ip -4 route replace default via 192.0.2.1 dev eth1 table 100 proto 112 metric 1\n")
}

// TestKernelScriptAuto takes gateways from main: the best of a device, one hop of several, none on
// a point-to-point device.
func TestKernelScriptAuto(t *testing.T) {
	n := newNamespace(t)
	n.links()
	n.run(`ip link add ppp0 type veth peer name peer3; ip link set ppp0 up; ip link set peer3 up
ip addr add 10.64.0.2 peer 10.64.0.1/32 dev ppp0
ip route add default metric 5 nexthop via 192.0.2.7 dev eth1 nexthop via 198.51.100.7 dev eth2
ip route add default via 192.0.2.8 dev eth1 metric 6
ip route add default dev ppp0 metric 9`, "sh", "-e")
	p := &plan.Plan{Dynamic: []plan.Dynamic{
		{Kind: plan.ConnectedRules, Family: plan.IPv4, Priority: 10001},
		{Kind: plan.SourceRules, Family: plan.IPv4, Interface: "ppp0", Table: 103, Priority: 10400}}}
	for i, dev := range []string{"eth1", "eth2", "ppp0"} {
		h := hop(dev, "auto")
		h.Onlink = true
		p.Routes = append(p.Routes, route("0.0.0.0/0", uint32(101+i), 1, h))
	}
	none := hop("eth1", "auto")
	p.Routes = append(p.Routes, route("::/0", 101, 1, none))
	_, said, err := n.try(scriptText(t, p), "sh")
	if err != nil || said != "pbr: interface eth1 left out: main has no default route over it (ip -6)\n" {
		t.Fatalf("%v, stderr %q", err, said)
	}
	checkRoutesAndRules(t, n, `ip -4 route replace default via 192.0.2.7 dev eth1 table 101 proto 112 metric 1 onlink
ip -4 route replace default via 198.51.100.7 dev eth2 table 102 proto 112 metric 1 onlink
ip -4 route replace default dev ppp0 table 103 proto 112 metric 1
ip -4 rule add priority 10001 from all to 192.0.2.0/24 lookup main protocol 112
ip -4 rule add priority 10001 from all to 198.51.100.0/24 lookup main protocol 112
ip -4 rule add priority 10001 from all to 10.64.0.1 lookup main protocol 112
ip -4 rule add priority 10400 from 10.64.0.2 lookup 103 protocol 112
`)
}
