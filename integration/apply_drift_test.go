package integration

import (
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// diff shows what others did to our objects, and apply puts it right.
func TestForeignEditsShowAndAreUndone(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.apply(twoUplinks)
	before := r.ours()
	table := ownTable(t, r)
	for _, edit := range []struct{ command, shows string }{
		{"nft add rule inet pbr prerouting ip saddr 10.9.9.9 drop", "10.9.9.9"},
		{"nft insert rule inet pbr postrouting counter", "counter"},
		{"nft add chain inet pbr intruder", "intruder"},
		{"nft 'add set inet pbr alien { type ipv4_addr; }'", "alien"},
		{"nft 'add element inet pbr uplinks { eth77 }'", "eth77"},
		{"nft flush chain inet pbr prerouting", "prerouting"},
		{"nft delete table inet pbr", "inet pbr"},
		{"ip rule add priority 10500 from 10.9.9.0/24 lookup main", "10.9.9.0/24"},
		{"ip -6 rule add priority 10501 from 2001:db8:9::/48 unreachable", "2001:db8:9::/48"},
		{"ip rule del priority 10990", "10990"},
		{"ip route add 10.9.9.0/24 via 192.0.2.1 table " + table, "10.9.9.0/24"},
		{"ip route replace default via 192.0.2.99 dev wan1 onlink metric 1 proto 112 table " + table, "192.0.2.99"},
		{"ip -6 route flush table " + table, table},
	} {
		r.Run("sh", "-c", edit.command)
		res := r.pbr("diff")
		if res.Code != 2 || !strings.Contains(res.Stdout, edit.shows) {
			t.Errorf("%s: pbr diff: exit status %d, or it does not show %q:\n%s%s", edit.command, res.Code,
				edit.shows, res.Stdout, res.Stderr)
		}
		r.must("apply")
		r.inSync()
		if d := diffLines(before, r.ours()); d != "" {
			t.Fatalf("%s: apply did not put it right:\n%s", edit.command, d)
		}
	}
}

// ownTable returns the number of the first provider's pinned table.
func ownTable(t *testing.T, r *router) string {
	t.Helper()
	for _, line := range strings.Split(r.Run("ip", "rule"), "\n") {
		fields := strings.Fields(line)
		// "10200: from 192.0.2.2 fwmark 0/0xff000000 lookup 112069 proto 112"
		for i, f := range fields {
			if f == "lookup" && strings.Contains(line, "from 192.0.2.2 ") {
				return fields[i+1]
			}
		}
	}
	t.Fatalf("no rule from 192.0.2.2:\n%s", r.Run("ip", "rule"))
	return ""
}

// diff's exit status: 0 in sync, 2 differs, 1 an error.
func TestDiffExitStatus(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	r.write(twoUplinks)
	for _, step := range []struct {
		what string
		do   func()
		code int
	}{
		{"nothing applied", func() {}, 2},
		{"applied", func() { r.must("apply") }, 0},
		{"one more policy in the file", func() { r.write(twoUplinks + oneMorePolicy) }, 2},
		{"a broken file", func() { r.write("[[uplink]") }, 1},
		{"the first file again", func() { r.write(twoUplinks) }, 0},
		{"flushed", func() { r.must("flush") }, 2},
	} {
		step.do()
		res := r.pbr("diff")
		if res.Code != step.code {
			t.Errorf("%s: exit status %d, not %d\n%s%s", step.what, res.Code, step.code, res.Stdout, res.Stderr)
		}
		if step.code == 2 && !strings.Contains(res.Stdout, "+") {
			t.Errorf("%s: nothing is shown:\n%s", step.what, res.Stdout)
		}
	}
}

// An interface that is not there yet is said to be missing and does not stop the rest; when it
// comes, apply completes.
func TestMissingInterface(t *testing.T) {
	t.Parallel()
	n := bench(lab.New(t))
	r := newRouter(n.Router)
	r.apply(twoUplinks)
	complete := r.ours()
	r.must("flush")
	r.IP("link set wan2 down", "link set wan2 name away", "link set away up")
	step := steps.Of(t)
	step.Run("apply does what it can, and names the interface", func(t *testing.T) {
		res := r.pbr("apply")
		if res.Code != 0 || !strings.Contains(res.Stdout+res.Stderr, "wan2") {
			t.Fatalf("apply without wan2: exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
		if out := r.Run("ip", "route", "show", "table", "all", "proto", ownProtocol); !strings.Contains(out, "dev wan1") {
			t.Errorf("apply without wan2 did not do the rest:\n%s", out)
		}
	})
	step.Run("diff says what is deferred", func(t *testing.T) {
		res := r.pbr("diff")
		if !strings.Contains(res.Stdout+res.Stderr, "wan2") {
			t.Errorf("diff does not say what waits: exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
	step.Run("a second apply is not an error", func(t *testing.T) {
		if res := r.pbr("apply"); res.Code != 0 {
			t.Errorf("a second apply without wan2: exit status %d\n%s", res.Code, res.Stderr)
		}
	})
	step.Run("when it is back diff tells", func(t *testing.T) {
		r.IP("link set away down", "link set away name wan2", "link set wan2 up", "addr replace 198.51.100.2/24 dev wan2",
			"addr replace 2001:db8:f2::2/64 dev wan2 nodad")
		if res := r.pbr("diff"); res.Code != 2 {
			t.Errorf("diff with wan2 back: exit status %d, not 2\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
	step.Run("an apply completes the rest", func(t *testing.T) {
		r.must("apply")
		r.inSync()
		if d := diffLines(complete, r.ours()); d != "" {
			t.Errorf("- had the interface been there, + now that it came:\n%s", d)
		}
	})
}

// A gateway "auto" is the one that main has for the interface; apply follows its change.
func TestAutomaticGateway(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	auto := strings.Replace(twoUplinks, `gateway = "192.0.2.1"`, `gateway = "auto"`, 1)
	r.IP("route add default via 192.0.2.1 dev wan1")
	step := steps.Of(t)
	step.Run("auto is the gateway of main's route", func(t *testing.T) {
		r.apply(auto)
		withAuto := r.ours()
		r.inSync()
		r.apply(twoUplinks)
		if d := diffLines(withAuto, r.ours()); d != "" {
			t.Errorf("- with gateway auto, + with the same gateway by address:\n%s", d)
		}
	})
	step.Run("another gateway of main's is a difference", func(t *testing.T) {
		r.IP("route replace default via 192.0.2.254 dev wan1")
		r.write(auto)
		if res := r.pbr("diff"); res.Code != 2 || !strings.Contains(res.Stdout, "192.0.2.254") {
			t.Errorf("diff after main's gateway changed: exit status %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
	})
	step.Run("an apply follows it", func(t *testing.T) {
		r.must("apply")
		if out := r.Run("ip", "route", "show", "table", "all", "proto", ownProtocol); !strings.Contains(out,
			"via 192.0.2.254") || strings.Contains(out, "via 192.0.2.1 ") {
			t.Errorf("after apply:\n%s", out)
		}
	})
}

// Settings of the kernel are set, shown and given back.
func TestSysctlsAreGivenBack(t *testing.T) {
	t.Parallel()
	r := newRouter(bench(lab.New(t)).Router)
	paths := []string{"net/ipv4/ip_forward", "net/ipv4/conf/wan1/rp_filter", "net/ipv4/conf/wan1/src_valid_mark",
		"net/ipv4/fib_multipath_hash_policy",
		"net/ipv4/conf/wan1/ignore_routes_with_linkdown", "net/ipv4/conf/all/rp_filter"}
	r.Sysctl("net/ipv4/ip_forward", "0")
	before := map[string]string{}
	for _, p := range paths {
		before[p] = r.ReadSysctl(p)
	}
	with := strings.Replace(twoUplinks, "[pbr]", "[pbr]\nsysctl = true", 1)
	step := steps.Of(t)
	step.Run("apply sets what the policy needs", func(t *testing.T) {
		r.apply(with)
		r.inSync()
		for path, value := range map[string]string{"net/ipv4/ip_forward": "1", "net/ipv4/conf/wan1/rp_filter": "2",
			"net/ipv4/conf/wan1/src_valid_mark": "1"} {
			if got := r.ReadSysctl(path); got != value {
				t.Errorf("%s is %s, not %s", path, got, value)
			}
		}
	})
	step.Run("a foreign change is seen and put right", func(t *testing.T) {
		r.Sysctl("net/ipv4/conf/wan1/rp_filter", "1")
		if res := r.pbr("diff"); res.Code != 2 || !strings.Contains(res.Stdout, "rp_filter") {
			t.Errorf("diff after a foreign change of rp_filter: exit status %d\n%s", res.Code, res.Stdout)
		}
		r.must("apply")
	})
	step.Run("flush gives back what was before", func(t *testing.T) {
		r.must("flush")
		for _, p := range paths {
			if got := r.ReadSysctl(p); got != before[p] {
				t.Errorf("after flush %s is %s, was %s", p, got, before[p])
			}
		}
	})
}
