package main

import (
	"strings"
	"testing"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/kernel"
)

// TestFlushAdvice: flush says how hosts behind the router come online again, and only where pbr's
// end takes them offline.
func TestFlushAdvice(t *testing.T) {
	const uplink = `
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
`
	forward, forward6 := "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"
	for _, c := range []struct {
		name, policy string
		restored     []plan.SysctlChange
		want         []string
	}{
		{"all was there before", uplink, nil, nil},
		{"another setting", uplink, []plan.SysctlChange{{Path: "net/ipv4/conf/wan1/rp_filter", Have: "2", Want: "0"}}, nil},
		{"forwarding was off", uplink, []plan.SysctlChange{{Path: forward, Have: "1", Want: "0"}, {Path: forward6, Have: "1", Want: "0"}},
			[]string{"sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.ipv6.conf.all.forwarding=1"}},
		{"pbr masqueraded", uplink + "nat = \"masquerade\"\n", nil, []string{"masquerade'"}},
		{"pbr translated to an address", uplink + "nat = \"192.0.2.7\"\n", nil, []string{"masquerade'"}},
		{"pbr translated the router's own alone", uplink + "[[policy]]\nname = \"own\"\nfrom = \"local\"\n" +
			"dport = 25\nproto = \"tcp\"\nuplink = \"isp1\"\nstrict = true\n", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := parse(t, c.policy)
			have, problems := compiler.New(doc).Compile(plan.HostFacts{}, nil)
			if have == nil {
				t.Fatal(problems)
			}
			got := lossAdvice(&kernel.Report{Changes: plan.Diff(have, &plan.Plan{}), Restored: c.restored})
			if len(got) != len(c.want) {
				t.Fatalf("it says %q", got)
			}
			for i, want := range c.want {
				if !strings.HasSuffix(got[i], want) {
					t.Errorf("it says %q, not %q at the end", got[i], want)
				}
			}
		})
	}
}

// TestLossOfAnUndo: an undo says so only if nothing of pbr translates any more.
func TestLossOfAnUndo(t *testing.T) {
	plain := "[[uplink]]\nname = \"isp1\"\ninterface = \"wan1\"\ngateway = \"192.0.2.1\"\n[default]\nroutes = { uplink = \"isp1\" }\n"
	nat := strings.Replace(plain, "[default]", "nat = \"masquerade\"\n[default]", 1)
	other := strings.Replace(nat, "masquerade", "192.0.2.7", 1)
	compiled := func(text string) *plan.Plan {
		p, problems := compiler.New(parse(t, text)).Compile(plan.HostFacts{}, nil)
		if p == nil {
			t.Fatal(problems)
		}
		return p
	}
	for name, c := range map[string]struct {
		have, want *plan.Plan
		lost       int
	}{
		"to a policy without NAT":    {compiled(nat), compiled(plain), 1},
		"to nothing":                 {compiled(nat), &plan.Plan{}, 1},
		"to a policy with other NAT": {compiled(nat), compiled(other), 0},
		"to the same NAT":            {compiled(nat), compiled(nat), 0},
		"from a policy without NAT":  {compiled(plain), compiled(nat), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lossAdvice(&kernel.Report{Changes: plan.Diff(c.have, c.want)}); len(got) != c.lost {
				t.Errorf("it says %q", got)
			}
		})
	}
}
