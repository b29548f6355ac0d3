package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"pbr/integration/lab"
)

// planted are neighbours whose rules are made here as their sources make them; steps are run one
// after the other, each with the words of the line that doctor has then.
var planted = map[string][]struct {
	step func(*router)
	line []string
}{
	"Tailscale": {
		{func(r *router) {
			r.IP("rule add pref 5210 fwmark 0x80000/0xff0000 lookup main", "rule add pref 5230 fwmark 0x80000/0xff0000 lookup default",
				"rule add pref 5250 fwmark 0x80000/0xff0000 unreachable", "rule add pref 5270 lookup 52",
				"route add 100.100.100.100/32 via 198.51.100.1 table 52")
		}, []string{"ok ", "Tailscale", "5210, 5230, 5250, 5270 are before pbr's"}},
		{func(r *router) { r.IP("route add default via 198.51.100.1 table 52") },
			[]string{"fail", "Tailscale", "exit node", "write rule-priority = 4000"}},
		{func(r *router) {
			r.apply(strings.Replace(twoUplinks, "[pbr]", "[pbr]\nrule-priority = 4000\nsysctl = true", 1))
		},
			[]string{"warn", "Tailscale", "behind pbr's", "ip rule add pref 3990 to 100.64.0.0/10 lookup 52"}},
		{func(r *router) { r.IP("rule add pref 3990 to 100.64.0.0/10 lookup 52") }, []string{"ok ", "Tailscale"}},
	},
	"NetBird": {
		{func(r *router) {
			r.IP("rule add pref 105 lookup main suppress_prefixlength 0",
				"rule add pref 110 not fwmark 0x1bd00 lookup 7120", "route add 10.200.0.0/16 via 198.51.100.1 table 7120")
		}, []string{"ok ", "NetBird", "105, 110"}},
		{func(r *router) { r.IP("route add default via 198.51.100.1 table 7120") },
			[]string{"fail", "NetBird", "NB_USE_LEGACY_ROUTING=true"}},
	},
	"wg-quick": {
		{func(r *router) { // pbr first
			r.IP("route add default via 198.51.100.1 table 51820", "rule add not fwmark 51820 lookup 51820",
				"rule add lookup main suppress_prefixlength 0")
		}, []string{"fail", "wg-quick (table 51820)", "are before pbr's", "Table = off"}},
		{func(r *router) { // pbr second
			r.must("flush")
			r.IP("rule del not fwmark 51820 lookup 51820", "rule del lookup main suppress_prefixlength 0")
			r.IP("rule add not fwmark 51820 lookup 51820", "rule add lookup main suppress_prefixlength 0")
			r.must("apply")
		}, []string{"fail", "wg-quick (table 51820)", "32764, 32765 are behind pbr's", "in the clear", "Table = off",
			"rule-priority = 3000"}},
		{func(r *router) {
			r.apply(strings.Replace(twoUplinks, "[default]\nroutes = [{ uplink = \"isp1\" }]\n", "", 1))
		}, []string{"ok ", "wg-quick (table 51820)", "the tunnel carries what no policy and no rule catches"}},
	},
	"Docker": {
		{func(r *router) {
			r.Run("iptables", "-N", "DOCKER-USER")
			r.Run("iptables", "-A", "FORWARD", "-j", "DOCKER-USER")
		}, []string{"ok ", "Docker"}},
		{func(r *router) { r.Run("iptables", "-P", "FORWARD", "DROP") },
			[]string{"warn", "Docker", "FORWARD to drop", "iptables -I DOCKER-USER -o wan1 -j ACCEPT"}},
	},
	"ip6tables -m rpfilter": {
		{func(r *router) {
			r.Run("ip6tables", "-t", "raw", "-A", "PREROUTING", "-m", "rpfilter", "--invert", "-j", "DROP")
		}, []string{"fail", "ip6 raw PREROUTING", "IPv6 packets", "answers that arrive on isp2 are lost"}},
	},
}

func TestDoctorKnowsItsNeighbours(t *testing.T) {
	t.Parallel()
	for name, steps := range planted {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := healthyRouter(t)
			for _, s := range steps {
				s.step(r)
				if r.line(s.line...) == "" {
					t.Fatalf("no line has all of %q:\n%s%s", s.line, r.pbr("doctor").Stdout, r.Run("ip", "rule"))
				}
			}
		})
	}
}

// firewalld drops IPv6 answers that arrive on another uplink than default's, doctor says so, and
// what it advises helps.
func TestDoctorOnFirewalld(t *testing.T) {
	t.Parallel()
	lab.NeedProgram(t, "firewalld", "dbus-daemon")
	p := newProgram(healthyRouter(t))
	conf, err := os.ReadFile("/etc/firewalld/firewalld.conf")
	if err != nil {
		t.Fatal(err)
	}
	p.file("firewalld.conf", string(conf))
	p.start(fmt.Sprintf(`
mkdir -p /run/dbus
mount -t tmpfs tmpfs /run/dbus
dbus-daemon --system --nofork --nopidfile &
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done
exec firewalld --nofork --nopid --system-config %s
`, p.dir))
	p.finds("fail", "firewalld", "(fib saddr . iif oif missing) drops IPv6 packets",
		"answers that arrive on isp2 are lost", "IPv6_rpfilter=loose", "systemctl restart firewalld")
}

// The rules and addresses of keepalived, and the rules and routes of FRR, are found and named.
func TestDoctorOnKeepalived(t *testing.T) {
	t.Parallel()
	lab.NeedProgram(t, "keepalived")
	p := newProgram(healthyRouter(t))
	conf := p.file("keepalived.conf", `
vrrp_instance lan {
  state MASTER
  interface br-lan
  virtual_router_id 5
  priority 200
  advert_int 1
  virtual_ipaddress {
    192.168.10.254/24
  }
  virtual_rules {
    from 10.78.0.0/16 table 100
  }
}
`)
	p.start(fmt.Sprintf("exec keepalived -n -l -f %s -p %s/pid -r %s/vrrp", conf, p.dir, p.dir))
	p.finds("warn", "keepalived", "its ip rule 16384 is behind pbr's", "they do nothing", "below 10000")
	p.finds("warn", "keepalived", "runs here (VRRP), and pbr watch does not", "pbr watch, which restores them at once")
}

func TestDoctorOnFRR(t *testing.T) {
	t.Parallel()
	const zebra = "/usr/lib/frr/zebra"
	needFile(t, zebra)
	p := newProgram(healthyRouter(t))
	conf := p.file("frr.conf", `
ip route 64.0.0.0/2 198.51.100.1
ip route 128.0.0.0/2 198.51.100.1
nexthop-group a
 nexthop 198.51.100.1
pbr-map m seq 5
 match src-ip 10.77.0.0/16
 set nexthop-group a
interface br-lan
 pbr-policy m
`)
	p.start(fmt.Sprintf(`
mkdir -p /run/frr
mount -t tmpfs tmpfs /run/frr
cp %s /run/frr/frr.conf
chown -R frr:frr /run/frr
for d in zebra staticd pbrd; do /usr/lib/frr/$d -f /run/frr/frr.conf -i /run/frr/$d.pid & sleep 1; done
wait
`, conf))
	p.finds("warn", "FRR pbrd", "its ip rule 304 is before pbr's", "from 10.77.0.0/16 iif br-lan lookup 10000")
	p.finds("warn", "main's full table", "2 specific routes through wan2, for 50 % of all IPv4 addresses", `main-first = "connected"`)
	p.apply(strings.Replace(twoUplinks, "[pbr]", "[pbr]\nmain-first = \"connected\"", 1))
	if l := p.line("main's full table"); l != "" {
		t.Errorf("policies come first now: %s", l)
	}
}

// podman's network back end makes no finding that is wrong, and is named.
func TestDoctorOnNetavark(t *testing.T) {
	t.Parallel()
	const netavark = "/usr/lib/podman/netavark"
	needFile(t, netavark)
	r := healthyRouter(t)
	container := r.T().Name()
	ns := strings.ReplaceAll(r.NS+"-c", "/", "-")
	r.Run("ip", "netns", "add", ns)
	t.Cleanup(func() { r.Run("ip", "netns", "del", ns) })
	p := newProgram(r)
	setup := p.file("setup.json",
		fmt.Sprintf(`{"container_id":"aaaaaaaaaaaa","container_name":%q,
		"networks":{"podman":{"static_ips":["10.88.0.2"],"interface_name":"eth0"}},
		"network_info":{"podman":{"name":"podman","driver":"bridge",
		"id":"2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9","network_interface":"podman0",
		"created":"2024-01-01T00:00:00Z","subnets":[{"subnet":"10.88.0.0/16","gateway":"10.88.0.1"}],
		"ipv6_enabled":false,"internal":false,"dns_enabled":false,
		"ipam_options":{"driver":"host-local"}}}}`, container))
	r.Run("sh", "-ec", fmt.Sprintf("%s --config %s setup /run/netns/%s < %s", netavark, p.dir, ns, setup))
	out := r.doctor(0)
	if r.line("ok ", "podman", "policies without from catch them") == "" || strings.Contains(out, "late-snat") {
		t.Errorf("doctor on podman's rules:\n%s", out)
	}
}
