package route

import (
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/steps"
)

func TestMachine(t *testing.T) {
	c := newNetns(t)
	here := steps.InNamespace(t)
	for _, cmd := range []string{
		"-4 route add default via 192.0.2.9 dev w1 metric 50",
		"-4 route add default via 192.0.2.1 dev w1 metric 10",
		"-4 route add default dev w2 metric 20",
		"-4 route add 10.9.0.0/16 via 192.0.2.1 dev w1",
		"-4 route add default via 198.51.100.7 dev w2 metric 1 table 100",
		"-6 route add default via fe80::1 dev w1 metric 10",
		"-6 route add default metric 5 nexthop via fe80::2 dev w1 nexthop via fe80::3 dev w2",
		"-6 route add 2001:db8:9::/48 dev w1",
		"address add 169.254.3.4/16 dev w1", "address add 10.77.0.1/32 dev w1 scope link",
		"address add 10.5.0.1/24 dev w1", "address add 2001:db8:5::1/64 dev w1 nodad preferred_lft 0",
		"link set x2 down",
		"link add name b1 type bridge", "link add name y1 type veth peer name y2", "link set y2 master b1", "link set y1 master b1",
		"link add name v1 mtu 1279 type veth peer name v2", "link set v1 up", "link set v2 up",
	} {
		ip(t, cmd)
	}
	must(t, WriteSysctl("net/ipv6/conf/x1/disable_ipv6", "1"))
	m, err := c.HostFacts(nil)
	must(t, err)
	addrs := func(s ...string) (out []netip.Addr) {
		for _, a := range s {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	networks := func(s ...string) (out []netip.Prefix) {
		for _, n := range s {
			out = append(out, netip.MustParsePrefix(n))
		}
		return out
	}
	gateway := netip.MustParseAddr
	want := map[string]plan.Link{
		"lo": {Up: true, Carrier: true, Loopback: true},
		"w1": {Up: true, Carrier: true, Addrs: addrs("10.5.0.1", "192.0.2.2", "2001:db8:1::2", "2001:db8:5::1"),
			Networks: networks("10.5.0.0/24", "169.254.0.0/16", "192.0.2.0/24", "2001:db8:1::/64", "2001:db8:5::/64"),
			Gateway4: gateway("192.0.2.1"), Gateway6: gateway("fe80::2")},
		"w2": {Up: true, Addrs: addrs("198.51.100.2", "2001:db8:2::2"),
			Networks: networks("198.51.100.0/24", "2001:db8:2::/64"), OnlinkDefault4: true, Gateway6: gateway("fe80::3")},
		"x1": {Up: true, Carrier: true, NoIPv6: true},
		"x2": {},
		"v1": {Up: true, Carrier: true, NoIPv6: true}, // too small for IPv6
		"v2": {Up: true, Carrier: true},
		"b1": {Below: []string{"y1", "y2"}},
		"y2": {Port: true},
	}
	here.Run("interfaces, with their addresses, networks and gateways", func(t *testing.T) {
		for name, link := range want {
			if !reflect.DeepEqual(m.Links[name], link) {
				t.Errorf("%s is %+v, not %+v", name, m.Links[name], link)
			}
		}
	})
	here.Run("networks that are connected", func(t *testing.T) {
		var connected []string
		for _, p := range m.Connected {
			connected = append(connected, p.String())
		}
		nets := []string{"10.5.0.0/24", "169.254.0.0/16", "192.0.2.0/24", "198.51.100.0/24", "2001:db8:1::/64",
			"2001:db8:2::/64", "2001:db8:5::/64"}
		if !slices.Equal(connected, nets) {
			t.Errorf("connected are %q, not %q", connected, nets)
		}
	})
	here.Run("they are known, and IPv6 is there", func(t *testing.T) {
		if !m.Known || m.NoIPv6 {
			t.Errorf("known %v, without IPv6 %v", m.Known, m.NoIPv6)
		}
	})
}

func TestReleaseAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.13.0": true, "6.13": true, "6.18.44-fc": true, "7.0.0-rc1": true, "6.13-rc1": true,
		"6.12.9": false, "6.1.0-13-amd64": false, "5.15.0": false, "": false, "x.y": false,
	} {
		t.Run(fmt.Sprintf("%q", release), func(t *testing.T) {
			if releaseAtLeast(release, 6, 13) != want {
				t.Errorf("%q is at least 6.13: %v", release, !want)
			}
		})
	}
}

func TestSysctl(t *testing.T) {
	newNetns(t)
	here := steps.InNamespace(t)
	step := steps.InNamespace(t).Steps()
	step.Run("what is written is read", func(t *testing.T) {
		must(t, WriteSysctl("net/ipv4/ip_forward", "1"))
		if v, err := ReadSysctl("net/ipv4/ip_forward"); err != nil || v != "1" {
			t.Errorf("read %q, %v", v, err)
		}
	})
	for path, want := range map[string]string{
		"kernel/hostname": "not below net/", "net/../kernel/hostname": "not a path below",
		"net//ipv4": "not a path below", "/net/ipv4/ip_forward": "not below",
		"net/ipv4/absent": "no such file",
	} {
		here.Run(path, func(t *testing.T) {
			if _, err := ReadSysctl(path); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("reading %s: %v", path, err)
			}
			if err := WriteSysctl(path, "1"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("writing %s: %v", path, err)
			}
		})
	}
	here.Run("a value that the kernel refuses", func(t *testing.T) {
		if err := WriteSysctl("net/ipv4/ip_forward", "maybe"); err == nil ||
			!strings.Contains(err.Error(), "net/ipv4/ip_forward to maybe: ") {
			t.Errorf("a wrong value: %v", err)
		}
	})
}

// TestFollowers changes the settings that others follow, and looks which the kernel changed.
func TestFollowers(t *testing.T) {
	newNetns(t)
	here := steps.InNamespace(t)
	for _, path := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		here.Run(path, func(t *testing.T) {
			for _, value := range []string{"1", "0", "1"} {
				before := settings(t)
				must(t, WriteSysctl(path, value))
				made := Dependents(path, value)
				for name, now := range settings(t) {
					was, follows := made[name]
					switch {
					case follows && now != was:
						t.Errorf("%s = %s: %s is %s, not %s", path, value, name, now, was)
					case !follows && now != before[name] && name != path && name != "net/ipv4/conf/all/forwarding":
						t.Errorf("%s = %s: %s is %s, was %s", path, value, name, now, before[name])
					}
				}
			}
		})
	}
	here.Run("nothing follows rp_filter", func(t *testing.T) {
		if f := Dependents("net/ipv4/conf/w1/rp_filter", "1"); len(f) != 0 {
			t.Errorf("rp_filter is followed by %v", f)
		}
	})
}

// settings reads the settings of all interfaces.
func settings(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range []string{"net/ipv4/conf/", "net/ipv6/conf/"} {
		links, err := os.ReadDir("/proc/sys/" + dir)
		must(t, err)
		for _, l := range links {
			names, err := os.ReadDir("/proc/sys/" + dir + l.Name())
			must(t, err)
			for _, n := range names {
				path := dir + l.Name() + "/" + n.Name()
				if v, err := ReadSysctl(path); err == nil {
					out[path] = v
				}
			}
		}
	}
	return out
}
