package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
)

const twoUplinks = `
uplink = [
  { name = "isp1", interface = "wan1", gateway = "192.0.2.1", nat = "masquerade" },
  { name = "isp2", interface = "wan2", gateway = "auto", nat = "masquerade" },
]
default = { routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }] }
`

// machine is one that twoUplinks works on.
func machine() plan.HostFacts {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	return plan.HostFacts{Known: true, Links: map[string]plan.Link{
		"lo":   {Up: true, Carrier: true},
		"lan0": {Up: true, Carrier: true, Addrs: []netip.Addr{addr("192.168.1.1")}},
		"wan1": {Up: true, Carrier: true, Addrs: []netip.Addr{addr("192.0.2.2")}, Gateway4: addr("192.0.2.1")},
		"wan2": {Up: true, Carrier: true, Addrs: []netip.Addr{addr("198.51.100.2")}, Gateway4: addr("198.51.100.1")},
	}, Connected: []netip.Prefix{prefix("192.0.2.0/24"), prefix("192.168.1.0/24"), prefix("198.51.100.0/24")}}
}

// subject reads a policy.
func subject(t *testing.T, text string, m plan.HostFacts) *Subject {
	t.Helper()
	doc, ds := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml")
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	s := &Subject{File: "pbr.toml"}
	s.Take(doc, m, nil)
	if s.Problem != "" {
		t.Fatal(s.Problem)
	}
	return s
}

// healthy is what a machine without faults shows of a policy.
func healthy(t *testing.T, text string) (*Subject, *facts.Facts) {
	t.Helper()
	s := subject(t, text, machine())
	f := &facts.Facts{
		Release: "6.1.0", Host: machine(), Sysctls: map[string]string{},
		Rules: []plan.Rule{
			{Family: plan.IPv4, Priority: 0, Action: plan.ActLookup, Table: 255},
			{Family: plan.IPv4, Priority: 32766, Action: plan.ActLookup, Table: 254},
			{Family: plan.IPv4, Priority: 32767, Action: plan.ActLookup, Table: 253},
		},
		State:    facts.State{Dir: "/run/pbr/net-1", Taken: true, Compared: true, WatchPID: 7},
		Gateways: []facts.Gateway{{Uplink: "isp1", Address: "192.0.2.1"}, {Uplink: "isp2", Address: "198.51.100.1"}},
	}
	for name := range featureSources.Get() {
		f.Features = append(f.Features, facts.Feature{Name: name})
	}
	for _, set := range s.judged(f.Host) {
		f.Sysctls[set.Path] = set.Value
	}
	return s, f
}

// halves are the half-default routes of a VPN program.
func halves(dev string) (out []plan.Route) {
	for _, dst := range []string{"0.0.0.0/1", "128.0.0.0/1"} {
		out = append(out, plan.Route{Family: plan.IPv4, Table: plan.MainTable, Dst: netip.MustParsePrefix(dst),
			Kind: plan.Unicast, Hops: []plan.Hop{{Dev: dev}}})
	}
	return out
}

// notOK are the findings that are not, as text.
func notOK(findings []Finding) (out []string) {
	for _, f := range findings {
		if f.Level != OK {
			out = append(out, string(f.Level)+" "+f.Subject+": "+f.Text+" - "+f.Do)
		}
	}
	return out
}

func TestNothingIsWrong(t *testing.T) {
	s, f := healthy(t, twoUplinks)
	findings := Examine(s, f)
	t.Run("every finding is ok", func(t *testing.T) {
		if bad := notOK(findings); bad != nil {
			t.Errorf("%q", bad)
		}
	})
	t.Run("groups are in order", func(t *testing.T) {
		if !slices.IsSortedFunc(findings, func(a, b Finding) int { return slices.Index(Groups, a.Group) - slices.Index(Groups, b.Group) }) {
			t.Errorf("groups are not in order: %v", findings)
		}
	})
}

// Each fault gives one finding that is not OK, with those words, and nothing else.
func TestFindings(t *testing.T) {
	fails := func(name facts.FeatureName) func(*Subject, *facts.Facts) {
		return func(_ *Subject, f *facts.Facts) {
			at := slices.IndexFunc(f.Features, func(x facts.Feature) bool { return x.Name == name })
			f.Features[at].Failure = "no such file or directory"
		}
	}
	sysctl := func(path, value string) func(*Subject, *facts.Facts) {
		return func(_ *Subject, f *facts.Facts) { f.Sysctls[path] = value }
	}
	link := func(name string, change func(*plan.Link)) func(*Subject, *facts.Facts) {
		return func(_ *Subject, f *facts.Facts) {
			l := f.Host.Links[name]
			change(&l)
			f.Host.Links[name] = l
		}
	}
	rule := func(r plan.Rule) func(*Subject, *facts.Facts) {
		return func(_ *Subject, f *facts.Facts) {
			r.Family = plan.IPv4
			f.Rules = append(f.Rules, r)
		}
	}
	for name, c := range map[string]struct {
		fault func(*Subject, *facts.Facts)
		want  []string // nil: nothing is found
	}{
		"needed feature": {fails(facts.Masquerade), []string{"fail masquerade", "nft_masq"}},
		"idle feature":   {fails(facts.Hash), nil},
		"a policy by cgroup, no feature": {func(s *Subject, f *facts.Facts) {
			s.Want.Ruleset.Chains = append(s.Want.Ruleset.Chains, plan.Chain{Rules: []plan.ChainRule{
				{Matches: []plan.Match{{Field: plan.CgroupField(2), Set: "groups"}}},
			}})
			fails(facts.Cgroups)(s, f)
		}, []string{"fail control groups of sockets", "Linux 5.13"}},
		"no policy by cgroup, no feature": {fails(facts.Cgroups), nil},

		"flowtable": {fails(facts.Flowtable), []string{"warn flowtable", `offload = "off"`}},
		"flowtable, required": {func(s *Subject,
			f *facts.Facts) {
			s.Doc.Settings.Offload.Required = true
			fails(facts.Flowtable)(s, f)
		}, []string{"fail flowtable"}},
		"flowtable, not wanted": {func(s *Subject, f *facts.Facts) {
			s.Doc.Settings.Offload.Mode = policy.OffloadOff
			fails(facts.Flowtable)(s, f)
		}, nil},

		"strict check": {sysctl("net/ipv4/conf/wan2/rp_filter", "1"),
			[]string{"fail rp_filter: wan2 has 1", "sysctl -w net.ipv4.conf.wan2.rp_filter=2, or sysctl = true"}},
		"no check":           {sysctl("net/ipv4/conf/wan2/rp_filter", "0"), nil},
		"loose beats strict": {sysctl("net/ipv4/conf/all/rp_filter", "1"), nil},
		"no forwarding":      {sysctl("net/ipv4/ip_forward", "0"), []string{"fail ip_forward"}},
		"no forwarding on any interface": {func(_ *Subject, f *facts.Facts) {
			for _, path := range []string{"ip_forward", "conf/wan1/forwarding", "conf/wan2/forwarding", "conf/lan0/forwarding"} {
				f.Sysctls["net/ipv4/"+path] = "0"
			}
		}, []string{"fail ip_forward"}},
		"none by one": {sysctl("net/ipv4/conf/wan1/forwarding", "0"),
			[]string{"fail forwarding: wan1 has 0", "net.ipv4.conf.wan1.forwarding=1"}},
		"none inside": {sysctl("net/ipv4/conf/lan0/forwarding", "0"),
			[]string{"warn forwarding inside: lan0 has 0", "net.ipv4.conf.lan0.forwarding=1"}},
		"linkdown": {sysctl("net/ipv4/conf/wan1/ignore_routes_with_linkdown", "0"), []string{"warn ignore_routes_with_linkdown"}},
		"mark in the check, beside a rule": {func(s *Subject, f *facts.Facts) {
			s.Doc.Policies, s.Doc.Rules = []policy.Policy{{RareKeys: &policy.RareKeys{}}}, []policy.Rule{{Action: policy.RuleDrop}}
			f.Sysctls["net/ipv4/conf/wan1/src_valid_mark"] = "0"
		}, []string{"fail src_valid_mark: wan1 has 0: the reverse path check ignores the mark, so [[rule]]s"}},
		"mark in the check":   {sysctl("net/ipv4/conf/wan1/src_valid_mark", "0"), []string{"warn src_valid_mark: wan1 has 0"}},
		"hash without shares": {sysctl("net/ipv4/fib_multipath_hash_policy", "0"), nil},
		"sysctl = true": {func(s *Subject, f *facts.Facts) { s.Doc.Settings.Sysctl = true; f.Sysctls["net/ipv4/ip_forward"] = "0" },
			[]string{"fail ip_forward", "pbr apply (sysctl = true)"}},
		"connections": {func(_ *Subject, f *facts.Facts) { f.Sysctls[pathTracked], f.Sysctls[pathTrackedMax] = "96", "100" },
			[]string{"fail nf_conntrack_max: 96 of 100", "nf_conntrack_max=200"}},

		"rule for marks": {rule(plan.Rule{Priority: 50, Mark: 0x12000000, MarkMask: 0xff000000,
			Action: plan.ActLookup, Table: 9}),
			[]string{"fail ip -4 rule 50: from all fwmark 0x12000000/0xff000000 lookup 9", "del pref 50"}},
		"rule to main": {rule(plan.Rule{Priority: 60, Mark: 0x12000000, MarkMask: 0xff000000,
			Action: plan.ActLookup, Table: 254}), []string{"fail ip -4 rule 60", "lookup main:"}},
		"rule for other marks": {rule(plan.Rule{Priority: 20000, Mark: 5, MarkMask: 0xff, Action: plan.ActLookup, Table: 9}), nil},
		"rule among ours": {rule(plan.Rule{Priority: 10500, Action: plan.ActLookup, Table: 9}),
			[]string{"fail ip -4 rule 10500", "next apply removes"}},
		"rule for specifics": {rule(plan.Rule{Priority: 5270, Action: plan.ActLookup, Table: 52}), nil},
		"verdict for all":    {rule(plan.Rule{Priority: 9, Action: plan.ActProhibit}), []string{"fail ip -4 rule 9: from all prohibit"}},
		"VRF's rule":         {rule(plan.Rule{Priority: 1000, Action: plan.ActLookup, Foreign: "l3mdev"}), nil},
		"everything but wg's": {func(s *Subject, f *facts.Facts) {
			rule(plan.Rule{Priority: 9999, Invert: true, Mark: 51820, MarkMask: 0xffffffff, Action: plan.ActLookup, Table: 51820})(s, f)
			f.Defaults = []facts.Table{{Family: plan.IPv4, ID: 51820}}
		}, []string{"fail wg-quick (table 51820): its ip rule 9999 is before pbr's", "Table = off"}},
		"notrack": {func(_ *Subject, f *facts.Facts) {
			f.Untracked = []facts.Untracked{{Table: "ip raw", Chain: "pre", Handle: 3,
				Hooks: []facts.Hook{{Name: "prerouting", Priority: -300}}}}
		}, []string{"warn ip raw pre: rule 3 keeps packets from connection tracking"}},
		"notrack, too late": {func(_ *Subject, f *facts.Facts) {
			f.Untracked = []facts.Untracked{{Table: "ip raw", Chain: "pre", Handle: 3,
				Hooks: []facts.Hook{{Name: "prerouting", Priority: -150}}}}
		}, nil},
		"no main": {func(_ *Subject, f *facts.Facts) { f.Rules = slices.Delete(f.Rules, 1, 2) },
			[]string{"fail ip -4 rules: none looks up main", "pref 32766"}},

		"route in a table": {func(s *Subject, f *facts.Facts) {
			f.Routes = []plan.Route{{Family: plan.IPv4, Table: 112000, Dst: netip.MustParsePrefix("10.0.0.0/8"), Protocol: 4}}
		}, []string{"fail table 112000", `the table of "default"`, "route del 10.0.0.0/8 table 112000"}},
		"half-default routes": {func(_ *Subject, f *facts.Facts) { f.HalfDefaults = halves("tun0") },
			[]string{"warn half-default routes: main sends 0.0.0.0/1, 128.0.0.0/1 through tun0",
				"and so does [default]: nothing uses them", "make it the first uplink of [default]"}},
		"half-default routes, no default": {func(s *Subject, f *facts.Facts) { s.Doc.Default, f.HalfDefaults = nil, halves("tun0") },
			[]string{"warn half-default routes: main sends 0.0.0.0/1, 128.0.0.0/1 through tun0",
				"what no policy catches uses them", "write [default]"}},
		"half-default routes of an uplink": {func(_ *Subject, f *facts.Facts) { f.HalfDefaults = halves("wan2") }, nil},
		"iptables-legacy": {func(_ *Subject,
			f *facts.Facts) {
			f.LegacyTables = []string{"ip mangle"}
		}, []string{"warn iptables-legacy", "iptables-legacy-save"}},
		"networkd": {func(_ *Subject, f *facts.Facts) {
			f.Programs, f.Networkd = []string{"systemd-network"}, facts.Networkd{RemovesRoutes: true}
		}, []string{"warn systemd-networkd", "[Network] ManageForeignRoutes=no into"}},
		"networkd, set up": {func(_ *Subject, f *facts.Facts) { f.Programs = []string{"systemd-network"} }, nil},
		"mwan3":            {func(_ *Subject, f *facts.Facts) { f.Programs = []string{"mwan3track"} }, []string{"warn mwan3"}},

		"no interface": {func(_ *Subject, f *facts.Facts) { delete(f.Host.Links, "wan2") },
			[]string{"fail isp2 (wan2): there is no interface", "lan0, wan1"}},
		"link down": {link("wan2", func(l *plan.Link) { l.Up = false }), []string{"fail isp2 (wan2): the interface is down"}},
		"no carrier": {link("wan2", func(l *plan.Link) { l.Carrier = false }),
			[]string{"fail isp2 (wan2): the interface has no carrier"}},
		"no address": {link("wan2", func(l *plan.Link) { l.Addrs = nil }),
			[]string{"fail isp2 (wan2): the interface has no IPv4 address"}},
		"no gateway": {link("wan2", func(l *plan.Link) { l.Gateway4 = netip.Addr{} }),
			[]string{"fail isp2 (wan2): main has no IPv4 default route through wan2"}},
		"gateway not written": {func(s *Subject, _ *facts.Facts) {
			u := &s.Doc.Uplinks[0]
			u.Gateway = policy.Gateway{Pos: u.Pos, Present: true, Link: true, Implicit: true}
			u.Gateway6 = u.Gateway
		}, []string{"warn isp1 (wan1): the policy names no gateway", "default route through wan1 has gateway 192.0.2.1",
			`write gateway = "192.0.2.1"`}},
		"port": {func(_ *Subject, f *facts.Facts) { f.Ports = map[string]string{"wan1": "br0"} },
			[]string{"fail isp1 (wan1): the interface is a port of br0"}},
		"silence": {func(_ *Subject, f *facts.Facts) { f.Gateways[0].Failure = "no answer" },
			[]string{"fail isp1 (wan1): gateway 192.0.2.1 does not answer (no answer)"}},
		"found down": {func(_ *Subject, f *facts.Facts) {
			f.Watched = []facts.Watched{{Uplink: "isp2", State: "down", LastFailure: "9.9.9.9: no answer"}}
		}, []string{"fail isp2 (wan2): pbr watch has it down: 9.9.9.9: no answer"}},
		"standby": {func(s *Subject, f *facts.Facts) {
			link("wan2", func(l *plan.Link) { l.Addrs = nil })(s, f)
			f.Watched = []facts.Watched{{Uplink: "isp2", State: "standby", Usable: true}}
		}, nil},
		"standby, and no watch": {func(s *Subject, f *facts.Facts) {
			link("wan2", func(l *plan.Link) { l.Addrs = nil })(s, f)
			f.State.WatchPID, s.Doc.Uplinks[1].Standby = 0, true
		}, nil},
		"over its quota": {func(_ *Subject, f *facts.Facts) {
			f.Watched = []facts.Watched{{Uplink: "isp2", State: "over-quota", LastFailure: "its quota is used up", Remedy: "pbr uplink isp2 quota +5GB"}}
		}, []string{"fail isp2 (wan2): pbr watch has it over-quota: its quota is used up - pbr uplink isp2 quota +5GB"}},
		"set to down, and no watch": {func(_ *Subject, f *facts.Facts) {
			f.State.WatchPID, f.Watched = 0, []facts.Watched{{Uplink: "isp2", State: "forced-down"}}
		}, []string{"fail isp2 (wan2): it is not used, as it was last forced-down", "pbr uplink isp2 auto"}},
		"no NAT": {func(s *Subject, _ *facts.Facts) { s.Doc.Uplinks[0].NAT = policy.NAT{} },
			[]string{"warn isp1 (wan1): the private addresses of 192.168.1.0/24"}},
		"NAT of others": {func(s *Subject, f *facts.Facts) {
			s.Doc.Uplinks[0].NAT = policy.NAT{}
			f.SourceNAT = []facts.SourceNAT{{Table: "ip nat", OIF: "wan*"}}
		}, nil},
		"NAT of others elsewhere": {func(s *Subject, f *facts.Facts) {
			s.Doc.Uplinks[0].NAT = policy.NAT{}
			f.SourceNAT = []facts.SourceNAT{{Table: "ip nat", OIF: "wan2"}}
		}, []string{"warn isp1 (wan1): the private addresses"}},

		"unwritable": {func(_ *Subject, f *facts.Facts) { f.State.Unwritable = "/run: read-only file system" },
			[]string{"fail state", "read-only file system"}},
		"waiting": {func(_ *Subject, f *facts.Facts) { f.State.Pending = "waits" }, []string{"warn confirm: waits - pbr confirm"}},
		"waiting, orphan": {func(_ *Subject, f *facts.Facts) { f.State.Pending, f.State.Orphaned = "waits", true },
			[]string{"fail confirm"}},
		"never applied": {func(_ *Subject, f *facts.Facts) { f.State.Taken = false },
			[]string{"warn kernel: the policy was never applied"}},
		"rejected": {func(s *Subject, f *facts.Facts) {
			s.Rejected, s.RejectedHint, f.State.Behind = "it was rejected", "correct it", 6
		},
			[]string{"warn policy: it was rejected - correct it"}},
		"changed by one": {func(_ *Subject, f *facts.Facts) { f.State.Behind = 1 }, []string{"warn kernel", "in 1 object -"}},
		"not known to be writable": {func(_ *Subject, f *facts.Facts) {
			f.Unknown = []facts.Unknown{{What: "state", Why: "/run can only be read by root"}}
		}, []string{"warn state: not checked", "run pbr doctor as root"}},
		"waiting for hardware": {func(s *Subject, _ *facts.Facts) {
			s.Want.Deferred = []plan.Deferred{{Object: plan.DeferredOffload, Reason: "wan1 cannot"}}
		}, []string{"warn offload: wan1 cannot - omit hardware"}},
		"no flowtables, told once": {func(s *Subject, f *facts.Facts) {
			fails(facts.Flowtable)(s, f)
			f.Host.NoFlowtables = true
			s.Want.Deferred = []plan.Deferred{{Object: plan.DeferredOffload, Reason: "no flowtables"}}
		}, []string{"warn flowtable"}},
		"unprivileged": {func(_ *Subject, f *facts.Facts) { f.Features = nil }, []string{"warn offload: not checked"}},
		"changed":      {func(_ *Subject, f *facts.Facts) { f.State.Behind = 3 }, []string{"warn kernel", "3 objects", "pbr diff"}},
		"no watch":     {func(_ *Subject, f *facts.Facts) { f.State.WatchPID = 0 }, nil},
		"no watch, but checks": {func(s *Subject, f *facts.Facts) {
			s.Doc.Uplinks[0].Check.Method, f.State.WatchPID = policy.CheckPing, 0
		}, []string{"warn watch: does not run", "pbr.service"}},
		"could not look": {func(_ *Subject, f *facts.Facts) {
			f.Unknown = []facts.Unknown{{What: "nftables of others", Why: "not permitted"}}
		}, []string{"warn nftables of others: not checked: not permitted - run pbr doctor as root"}},
		"could not look in a sandbox": {func(_ *Subject, f *facts.Facts) {
			f.Unknown = []facts.Unknown{{What: "kernel features", Why: "not permitted", Confined: true}}
		}, []string{"warn kernel features: not checked: not permitted - run pbr doctor in a shell"}},
		"no default route": {func(_ *Subject, f *facts.Facts) {
			for _, name := range []string{"wan1", "wan2"} {
				link(name, func(l *plan.Link) { l.Gateway4, l.OnlinkDefault4 = netip.Addr{}, false })(nil, f)
			}
			f.Host.Links["tun0"] = plan.Link{OnlinkDefault4: false}
		}, []string{"warn main: has no IPv4 default route"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := healthy(t, twoUplinks)
			c.fault(s, f)
			bad := notOK(Examine(s, f))
			if name == "no default route" { // "auto" has no gateway then either
				bad = slices.DeleteFunc(bad, func(b string) bool { return strings.Contains(b, "isp2") })
			}
			if c.want == nil {
				if bad != nil {
					t.Errorf("found %q", bad)
				}
				return
			}
			if len(bad) != 1 {
				t.Fatalf("found %q", bad)
			}
			for _, w := range c.want {
				if !strings.Contains(bad[0], w) {
					t.Errorf("%q lacks %q", bad[0], w)
				}
			}
		})
	}
}

// Where reverse-path leaves the check to pbr, a loose one of the kernel's is only a waste, and a
// strict one as wrong as ever.
func TestReversePath(t *testing.T) {
	text := "pbr = { reverse-path = \"nft\", sysctl = true }\n" + twoUplinks
	for name, c := range map[string]struct{ path, value, want string }{
		"as wanted":     {"net/ipv4/ip_forward", "1", ""},
		"loose":         {"net/ipv4/conf/wan1/rp_filter", "2", "warn rp_filter for reverse-path: wan1 has 2"},
		"strict":        {"net/ipv4/conf/wan1/rp_filter", "1", "fail rp_filter: wan1 has 1"},
		"strict inside": {"net/ipv4/conf/lan0/rp_filter", "1", "warn rp_filter for reverse-path: lan0 has 1"},
		"accept_local":  {"net/ipv4/conf/all/accept_local", "0", "warn accept_local: all has 0"},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := healthy(t, text)
			f.Sysctls[c.path] = c.value
			bad := notOK(Examine(s, f))
			switch {
			case c.want == "" && bad != nil, c.want != "" && (len(bad) != 1 || !strings.HasPrefix(bad[0], c.want) ||
				!strings.Contains(bad[0], "pbr apply (sysctl = true)")):
				t.Errorf("%s: %q", name, bad)
			}
		})
	}
}

// Where the kernel is to check, nothing may keep it from that, on any interface; what is not pbr's
// is for the administrator to set.
func TestReversePathOfKernel(t *testing.T) {
	for path, do := range map[string]string{"all": "pbr apply (sysctl = true)", "wan1": "pbr apply (sysctl = true)",
		"lan0": "sysctl -w net.ipv4.conf.lan0.accept_local=0"} {
		t.Run(path, func(t *testing.T) {
			s, f := healthy(t, "pbr = { sysctl = true }\n"+twoUplinks)
			f.Sysctls[confPath(path, "accept_local")] = "1"
			if !slices.Contains(s.SysctlPaths(f.Host), confPath(path, "accept_local")) {
				t.Errorf("%s: is not read", path)
			}
			bad := notOK(Examine(s, f))
			if len(bad) != 1 || !strings.HasPrefix(bad[0], "warn accept_local for reverse-path: "+path+" has 1") ||
				!strings.Contains(bad[0], do) {
				t.Errorf("%s: %q", path, bad)
			}
		})
	}
}

// Without a policy nothing that only a policy needs is a failure.
func TestWithoutPolicy(t *testing.T) {
	_, f := healthy(t, twoUplinks)
	for i := range f.Features {
		f.Features[i].Failure = "no such file or directory"
	}
	f.Sysctls = map[string]string{"net/ipv4/ip_forward": "0", "net/ipv4/conf/wan1/rp_filter": "1"}
	findings := Examine(&Subject{File: "pbr.toml", Missing: true}, f)
	if Failed(findings) {
		t.Errorf("%q", notOK(findings))
	}
	for _, want := range []string{"warn policy: there is no file pbr.toml", "warn ip_forward", "warn rp_filter: wan1 has 1", "warn jhash"} {
		t.Run(want, func(t *testing.T) {
			if !slices.ContainsFunc(notOK(findings), func(b string) bool { return strings.HasPrefix(b, want) }) {
				t.Errorf("%q is missing in %q", want, notOK(findings))
			}
		})
	}
	if findings := Examine(&Subject{File: "pbr.toml", Problem: "pbr.toml:1:1: no"}, f); !Failed(findings) {
		t.Error("a broken policy is not a failure")
	}
}

func TestMarksOfOthers(t *testing.T) {
	const all = ^uint32(0)
	at := func(name string, priority int32) []facts.Hook { return []facts.Hook{{Name: name, Priority: priority}} }
	for _, c := range []struct {
		name string
		use  facts.MarkUse
		want Level
	}{
		{"other bits", facts.MarkUse{Writes: true, Bits: 0xff0000, Hooks: at("prerouting", 0)}, OK},
		{"whole, behind pbr's", facts.MarkUse{Writes: true, Bits: all, Constant: true, Value: 1, Hooks: at("prerouting", -100)}, Fail},
		{"whole, beside pbr's", facts.MarkUse{Writes: true, Bits: all, Constant: true, Value: 1, Hooks: at("output", -150)}, Fail},
		{"whole, before pbr's", facts.MarkUse{Writes: true, Bits: all, Constant: true, Value: 1, Hooks: at("prerouting", -200)}, OK},
		{"whole, at both places", facts.MarkUse{Writes: true, Bits: all, Constant: true,
			Hooks: append(at("prerouting", -200), at("output", 0)...)}, Fail},
		{"restored before pbr's", facts.MarkUse{Writes: true, Bits: all, Hooks: at("prerouting", -200)}, Fail},
		{"pbr's value, before pbr", facts.MarkUse{Writes: true, Bits: all, Constant: true, Value: 0x01000000,
			Hooks: at("prerouting", -200)}, Fail},
		{"when routed", facts.MarkUse{Writes: true, Bits: all, Hooks: at("forward", 0)}, Warn},
		{"in no hook", facts.MarkUse{Writes: true, Bits: all}, Warn},
		{"connection", facts.MarkUse{Writes: true, Connection: true, Bits: 0x80000000, Hooks: at("forward", 0)}, Fail},
		{"connection, other bits", facts.MarkUse{Writes: true, Connection: true, Bits: 1, Hooks: at("forward", 0)}, OK},
		{"compared", facts.MarkUse{Bits: all, Hooks: at("forward", 0)}, Warn},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &examination{Subject: &Subject{}, facts: &facts.Facts{Marks: []facts.MarkUse{c.use, c.use}}}
			if got := e.markLevel(c.use); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
			e.marks()
			if len(e.out) != 1 || e.out[0].Level != c.want || (c.want != OK && !strings.Contains(e.out[0].Text, "and 1 more")) {
				t.Errorf("%s: %+v", c.name, e.out)
			}
		})
	}
}

// Long lists are flushed: of many uplinks the first few are told, and how many more there are.
func TestManyWait(t *testing.T) {
	s, f := healthy(t, twoUplinks)
	for i := range 200 {
		name := fmt.Sprintf("up%d", i)
		s.Want.Deferred = append(s.Want.Deferred, plan.Deferred{Object: "uplink " + name, Reason: "interface eth does not exist"})
		s.Settings = append(s.Settings, plan.Sysctl{Path: confPath(name, "rp_filter"), Value: "2"})
		f.Sysctls[confPath(name, "rp_filter")] = "1"
	}
	bad := notOK(Examine(s, f))
	if len(bad) != 1+shown+1 || !strings.Contains(bad[0], "up9 has 1, and 190 more: ") ||
		strings.Contains(bad[0], "up10") || !strings.Contains(bad[len(bad)-1], "190 more are deferred") {
		t.Errorf("%d: %q", len(bad), bad)
	}
}

// What is wrong on this machine alone is not for pbr check to tell.
func TestProblemOfTheMachine(t *testing.T) {
	m := machine()
	m.NoFlowtables = true
	good := subject(t, twoUplinks, m)
	doc := *good.Doc
	doc.Settings.Offload.Required = true
	s := &Subject{File: "pbr.toml"}
	s.Take(&doc, m, nil)
	bad := notOK(Examine(s, &facts.Facts{Host: m}))
	if !slices.ContainsFunc(bad, func(b string) bool {
		return strings.HasPrefix(b, "fail policy: ") &&
			strings.Contains(b, "nft_flow_offload, or leave required out") && !strings.Contains(b, "pbr check")
	}) {
		t.Errorf("%q", bad)
	}
	s, f := healthy(t, twoUplinks)
	f.Host.Links = nil
	if bad := notOK(Examine(s, f)); !slices.ContainsFunc(bad,
		func(b string) bool { return strings.Contains(b, "create the interface: this machine has none") }) {
		t.Errorf("without interfaces: %q", bad)
	}
}
