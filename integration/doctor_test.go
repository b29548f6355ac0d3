package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// healthyRouter is a router with two providers that answer, whose policy is in force and which
// lacks nothing.
func healthyRouter(t *testing.T) *router {
	t.Helper()
	n := lab.Build(lab.New(t), lab.Spec{
		LANs: []lab.LANSpec{lab.LAN("lan", "br-lan", 10, 10)}, ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)},
	})
	r := newRouter(n.Router)
	lab.WaitFor(t, "IPv6 addresses that may be used", func() bool { return r.Run("ip", "-6", "addr", "show", "tentative") == "" })
	r.IP("route add default via 192.0.2.1 metric 100")
	r.apply(strings.Replace(twoUplinks, "[pbr]", "[pbr]\nsysctl = true", 1))
	r.inSync()
	return r
}

// everythingOn lists all that a doctor could change on a router.
func (r *router) everythingOn() string {
	r.T().Helper()
	list := r.ours() + r.foreign()
	for _, args := range []string{"link", "addr", "-4 neigh show nud permanent", "-6 neigh show nud permanent", "-4 rule", "-6 rule"} {
		list += r.Run("ip", strings.Fields(args)...)
	}
	for _, dir := range []string{"net/ipv4/conf", "net/ipv6/conf"} {
		for line := range strings.Lines(r.Exec("grep", "-rs", ".", "/proc/sys/"+dir).Stdout) { // one of them may not be read
			list += line
		}
	}
	return lifetimes.ReplaceAllString(list, "")
}

// lifetimes are what is left of learned addresses' time, which passes.
var lifetimes = regexp.MustCompile(`valid_lft \d+sec preferred_lft \d+sec`)

// doctor runs the doctor, which must leave everything as it is, and returns what it says; exit
// status code is wanted.
func (r *router) doctor(code int, args ...string) string {
	r.T().Helper()
	before := r.everythingOn()
	res := r.pbr(append([]string{"doctor"}, args...)...)
	if d := diffLines(before, r.everythingOn()); d != "" {
		r.T().Errorf("pbr doctor changes:\n%s", d)
	}
	if res.Code != code || res.Stderr != "" {
		r.T().Errorf("pbr doctor: exit status %d, want %d\n%s%s", res.Code, code, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// A router that lacks nothing has no failure, and everything is as it was.
func TestDoctorOnHealthyRouter(t *testing.T) {
	t.Parallel()
	r := healthyRouter(t)
	step := steps.Of(t)
	step.Run("what is well is told", func(t *testing.T) {
		out := r.doctor(0)
		for _, want := range []string{"gateway 192.0.2.1 answers in", "gateway 2001:db8:f2::1 answers in",
			"holds the policy", "no rule of others", " 0 fail\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
	})
	step.Run("JSON has what to do for what is not", func(t *testing.T) {
		var result struct {
			Fit      bool
			Findings []struct{ Group, Level, Subject, Text, Do string }
		}
		if err := json.Unmarshal([]byte(r.doctor(0, "--json")), &result); err != nil || !result.Fit || len(result.Findings) < 10 {
			t.Errorf("%v: %+v", err, result)
		}
		for _, f := range result.Findings {
			if (f.Level == "ok") != (f.Do == "") {
				t.Errorf("what to do: %+v", f)
			}
		}
	})
}

// A trap is something planted on a router, and the words of the one line that names it with what to
// do about it.
type trap struct {
	plant func(*router)
	line  []string
}

// trapSets are traps that do not hide each other.
var trapSets = map[string][]trap{
	"beside each other": {
		{
			func(r *router) { r.Sysctl("net/ipv4/conf/wan2/rp_filter", "1") },
			[]string{"fail", "rp_filter", "wan2 has 1", "sysctl -w net.ipv4.conf.wan2.rp_filter=2"},
		},
		{
			func(r *router) { r.IP("rule add pref 50 fwmark 0x12000000/0xff000000 lookup 200") },
			[]string{"fail", "ip -4 rule 50", "fwmark 0x12000000/0xff000000", "ip -4 rule del pref 50"},
		},
		{
			func(r *router) { r.IP("rule add pref 9000 from 10.77.0.0/16 lookup 200") },
			[]string{"warn", "ip -4 rule 9000", "from 10.77.0.0/16 lookup 200"},
		},
		{
			func(r *router) { r.IP6("rule add pref 10050 from 2001:db8:77::/48 lookup 200") },
			[]string{"fail", "ip -6 rule 10050", "among pbr's priorities", "ip -6 rule del pref 10050"},
		},
		{
			func(r *router) {
				r.NFT("table ip wg { chain pre { type filter hook prerouting priority -150; meta l4proto udp meta mark set ct mark; }\n}\n")
			},
			[]string{"fail", "ip wg pre", "changes bits 0xff000000 of the packet's mark", "meta mark set meta mark & 0xff000000 | VALUE"},
		},
		{
			func(r *router) {
				r.NFT("table inet mangle { chain save { ct mark set 0x01000005; }\n" +
					"chain post { type filter hook postrouting priority 0; jump save; }\n}\n")
			},
			[]string{"fail", "inet mangle save", "connection's mark", "connections lose their uplink", "mark-mask"},
		},
		{
			func(r *router) {
				r.NFT("table ip test { chain post { type filter hook postrouting priority -150; meta mark 0xca6c counter; }\n}\n")
			},
			[]string{"warn", "ip test post", "compares bits 0xff000000", "meta mark & 0x00ffffff"},
		},
		{
			func(r *router) { r.IP("route add 10.99.0.0/16 via 192.0.2.1 table 112000 proto static") },
			[]string{"fail", "table 112000", "10.99.0.0/16", "ip -4 route del 10.99.0.0/16 table 112000"},
		},
		{
			func(r *router) { r.IP("rule del pref 10990") },
			[]string{"warn", "kernel", "differs from the policy", "pbr apply"},
		},
	},
	"for everybody": {
		{
			func(r *router) {
				r.Sysctl("net/ipv4/conf/all/rp_filter", "1")
				r.Sysctl("net/ipv4/conf/wan1/rp_filter", "0")
			},
			[]string{"fail", "rp_filter", "wan1 has 0", "net.ipv4.conf.wan1.rp_filter=2"},
		},
		{
			func(r *router) { r.Sysctl("net/ipv4/ip_forward", "0") },
			[]string{"fail", "ip_forward", "nothing is forwarded", "net.ipv4.ip_forward=1"},
		},
		{
			func(r *router) {
				r.IP("route add default via 198.51.100.1 table 200", "rule add pref 9000 not fwmark 0xca6c lookup 200")
			},
			[]string{"fail", "ip -4 rule 9000", "takes every packet", "after pbr's"},
		},
		{
			func(r *router) { r.IP("rule del pref 32766") },
			[]string{"fail", "none looks up main", "ip -4 rule add pref 32766 lookup main"},
		},
		{
			func(r *router) { r.IP("route del default metric 100") },
			[]string{"warn", "main", "no IPv4 default route", "ip route add default"},
		},
	},
	"interfaces": {
		{
			func(r *router) { r.IP("link set wan1 down") },
			[]string{"fail", "isp1 (wan1)", "the interface is down", "ip link set wan1 up"},
		},
		{
			func(r *router) { r.IP("link set wan2 down", "link set wan2 name wan9") },
			[]string{"fail", "isp2 (wan2)", "there is no interface wan2", "br-lan, wan1, wan9"},
		},
	},
	"addresses": {
		{
			func(r *router) { r.IP("addr flush dev wan1") },
			[]string{"fail", "isp1 (wan1)", "no IPv4 address", "ip addr add"},
		},
		{
			func(r *router) { r.IP("link add br0 type bridge", "link set wan2 master br0") },
			[]string{"fail", "isp2 (wan2)", "a port of br0", `interface = "br0"`},
		},
	},
}

// Each trap has its line.
func TestDoctorFindsTraps(t *testing.T) {
	t.Parallel()
	for name, traps := range trapSets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := healthyRouter(t)
			for _, trap := range traps {
				trap.plant(r)
			}
			out := r.doctor(1)
			lines := strings.Split(out, "\n")
			for _, trap := range traps {
				if !slices.ContainsFunc(lines, func(line string) bool { return hasAll(line, trap.line) }) {
					t.Errorf("no line has all of %q:\n%s", trap.line, out)
				}
			}
		})
	}
}

func hasAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

// Beside a running watch: a gateway that is nobody's, an uplink that was told to be down, private
// addresses that nobody translates.
func TestDoctorBesideWatch(t *testing.T) {
	t.Parallel()
	w := startWatched(t, watchPolicy, 2)
	r := w.router
	r.write(strings.NewReplacer(`"198.51.100.1"`, `"198.18.0.1"`, "nat = \"masquerade\"\n", "").Replace(twoUplinks))
	r.must("uplink", "isp1", "down")
	w.silence("isp2")
	w.logged("flushed connections of uplinks that are down", "uplinks=[isp2]") // the watch's own changes are over
	out := r.doctor(1)
	for _, want := range []string{"gateway 198.18.0.1 does not answer, and is in none of this router's networks",
		"the private addresses of 192.168.10.0/24",
		"pbr watch has it forced-down", "pbr uplink isp1 auto", fmt.Sprintf("runs, process %d", w.cmd.Process.Pid)} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	r.NFT("table ip nat { chain post { type nat hook postrouting priority 100; oifname \"wan*\" masquerade; }\n}\n")
	if out := r.doctor(1); strings.Contains(out, "the private addresses") {
		t.Errorf("others translate:\n%s", out)
	}
}

// Without a policy file, and with a broken one, the general part is examined.
func TestDoctorWithoutPolicy(t *testing.T) {
	t.Parallel()
	r := newRouter(lab.New(t).Host("router"))
	if out := r.doctor(0); !strings.Contains(out, "there is no file "+r.file) || !strings.Contains(out, "ip_forward") {
		t.Errorf("without a file:\n%s", out)
	}
	r.write("[[uplink]]\nname = \"isp1\"\n")
	if out := r.doctor(1); !strings.Contains(out, r.file+":1:1: ") || !strings.Contains(out, "pbr check") ||
		!strings.Contains(out, "ip_forward") {
		t.Errorf("with a broken one:\n%s", out)
	}
}

// Whoever may not look is told what was not examined, and the rest is there.
func TestDoctorWithoutPrivilege(t *testing.T) {
	t.Parallel()
	r := newRouter(lab.New(t).Host("router"))
	res := r.Exec("setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set", "-all", pbrPath, "--config", "/nowhere.toml", "doctor")
	for _, want := range []string{"kernel features", "nftables of others", "run pbr doctor as root", "ip_forward",
		"can only be read by root"} {
		if !strings.Contains(res.Stdout, want) {
			t.Errorf("%q is missing: exit status %d\n%s%s", want, res.Code, res.Stdout, res.Stderr)
		}
	}
	if res.Code != 0 {
		t.Errorf("exit status %d\n%s", res.Code, res.Stdout)
	}
}

// A program with policy routing of its own is found in the router's network namespace, and in no
// other.
func TestDoctorFindsPrograms(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	here, elsewhere := newRouter(l.Host("router")), newRouter(l.Host("other"))
	program := filepath.Join(t.TempDir(), "systemd-networkd")
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := here.Command(program, "60")
	if err := here.Start(cmd); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	const want = "removes what pbr made when it restarts - write [Network] ManageForeignRoutingPolicyRules=no"
	t.Run("a program of this namespace", func(t *testing.T) {
		if out := here.doctor(0); !strings.Contains(out, want) {
			t.Errorf("systemd-networkd is not found:\n%s", out)
		}
	})
	t.Run("not one of another namespace", func(t *testing.T) {
		if out := elsewhere.doctor(0); strings.Contains(out, "systemd-networkd") {
			t.Errorf("systemd-networkd of another namespace is found:\n%s", out)
		}
	})
}
