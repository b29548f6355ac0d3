package kernel

import (
	"errors"
	"slices"
	"testing"

	"pbr/compiler/plan"
	"pbr/integration/steps"
	"pbr/kernel/facts"
)

// Trying features finds those that every kernel with policy routing and nftables has, and each
// once.
func TestFeatures(t *testing.T) {
	found, err := features()
	must(t, err)
	seen := map[facts.FeatureName]bool{}
	for _, f := range found {
		if seen[f.Name] {
			t.Errorf("%s twice", f.Name)
		}
		seen[f.Name] = true
		if f.Failure != "" && f.Name != facts.Flowtable && f.Name != facts.RuleDSCP && f.Name != facts.Cgroups {
			t.Errorf("%s: %s", f.Name, f.Failure)
		}
	}
	t.Run("all of them are tried", func(t *testing.T) {
		for _, name := range []facts.FeatureName{facts.NFTables, facts.Flowtable, facts.ConntrackList, facts.RuleDSCP, facts.Multipath6,
			facts.Cgroups} {
			if !seen[name] {
				t.Errorf("%s was not tried: %v", name, found)
			}
		}
	})
}

// A rule that the kernel makes something else of does not count as one that it has.
func TestTryRule(t *testing.T) {
	k := newKernel(t)
	r := plan.Rule{Family: plan.IPv4, Priority: 1000, Mark: 2, MarkMask: 1, Action: plan.ActLookup, Table: 1000, Protocol: plan.Protocol}
	if err := tryRule(k.route, r); !errors.Is(err, errNotKept) {
		t.Errorf("a mark outside its mask: %v", err)
	}
	rules, err := k.route.AllRules()
	must(t, err)
	if slices.ContainsFunc(rules, func(r plan.Rule) bool { return r.Priority == 1000 }) {
		t.Errorf("the rule is left: %v", rules)
	}
}

func TestFacts(t *testing.T) {
	k := newKernel(t)
	here := steps.InNamespace(t)
	for _, cmd := range []string{
		"ip rule add pref 60 from 10.0.0.0/8 lookup 300", "ip route add unreachable default table 300",
		"ip rule add pref 61 lookup 301", "ip route add unreachable 10.0.0.0/8 table 301",
		"ip route add unreachable 10.1.0.0/16 table 400", "ip route add unreachable 10.2.0.0/16 table 400 proto 112",
		"ip link add br0 type bridge", "ip link add p0 type veth peer name p1", "ip link set p0 master br0",
	} {
		run(t, cmd)
	}
	before := everything(t)
	f := k.Facts([]string{"net/ipv4/ip_forward", "net/ipv4/conf/none/rp_filter"}, []uint32{400})
	here.Run("reading changes nothing", func(t *testing.T) {
		if after := everything(t); after != before {
			t.Errorf("reading changes\n%s\nto\n%s", before, after)
		}
	})
	here.Run("nothing is unknown", func(t *testing.T) {
		if len(f.Unknown) > 0 || f.Release == "" || len(f.Features) == 0 {
			t.Errorf("%+v, %q, %v", f.Unknown, f.Release, f.Features)
		}
	})
	here.Run("tables with a default route", func(t *testing.T) {
		if !slices.Contains(f.Defaults, facts.Table{Family: plan.IPv4, ID: 300}) ||
			slices.Contains(f.Defaults, facts.Table{Family: plan.IPv4, ID: 301}) {
			t.Errorf("tables with a default route: %v", f.Defaults)
		}
	})
	here.Run("routes of others in the tables", func(t *testing.T) {
		if len(f.Routes) != 1 || f.Routes[0].Dst.String() != "10.1.0.0/16" {
			t.Errorf("routes of others: %v", f.Routes)
		}
	})
	here.Run("ports of bridges", func(t *testing.T) {
		if f.Ports["p0"] != "br0" || f.Ports["p1"] != "" {
			t.Errorf("ports: %v", f.Ports)
		}
	})
	here.Run("settings", func(t *testing.T) {
		if _, there := f.Sysctls["net/ipv4/conf/none/rp_filter"]; there || f.Sysctls["net/ipv4/ip_forward"] == "" {
			t.Errorf("settings: %v", f.Sysctls)
		}
	})
	here.Run("the state directory", func(t *testing.T) {
		if f.State.Taken || f.State.Unwritable != "" || f.State.Dir == "" {
			t.Errorf("state: %+v", f.State)
		}
	})
}
