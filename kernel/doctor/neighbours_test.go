package doctor

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel/facts"
)

// The ip rules of programs, as their sources make them.
func rulesOf(program string, moved int) (out []plan.Rule) {
	forms := map[string][]plan.Rule{
		"tailscale": {
			{Priority: 5210, Mark: 0x80000, MarkMask: 0xff0000, Action: plan.ActLookup, Table: 254},
			{Priority: 5230, Mark: 0x80000, MarkMask: 0xff0000, Action: plan.ActLookup, Table: 253},
			{Priority: 5250, Mark: 0x80000, MarkMask: 0xff0000, Action: plan.ActUnreachable},
			{Priority: 5270, Action: plan.ActLookup, Table: 52},
		},
		"netbird": {
			{Priority: 105, Action: plan.ActLookup, Table: 254, SuppressPrefix: 1},
			{Priority: 110, Invert: true, Mark: 0x1bd00, MarkMask: ^uint32(0), Action: plan.ActLookup, Table: 7120},
		},
		"wg-quick": {
			{Priority: 9998, Action: plan.ActLookup, Table: 254, SuppressPrefix: 1},
			{Priority: 9999, Invert: true, Mark: 51820, MarkMask: ^uint32(0), Action: plan.ActLookup, Table: 51820},
		},
		"pbrd":       {{Priority: 304, IIF: "lan0", Action: plan.ActLookup, Table: 10000, Protocol: 11}},
		"keepalived": {{Priority: 16384, Action: plan.ActLookup, Table: 100, Protocol: 18}},
	}
	for _, r := range forms[program] {
		r.Family, r.Priority = plan.IPv4, uint32(int(r.Priority)+moved)
		out = append(out, r)
	}
	return out
}

// Each neighbour has one line, with its name, what is wrong and what to do.
func TestNeighbours(t *testing.T) {
	has := func(program string, moved int, tables ...uint32) func(*Subject, *facts.Facts) {
		return func(_ *Subject, f *facts.Facts) {
			f.Rules = append(f.Rules, rulesOf(program, moved)...)
			for _, id := range tables {
				f.Defaults = append(f.Defaults, facts.Table{Family: plan.IPv4, ID: id})
			}
		}
	}
	both := func(fs ...func(*Subject, *facts.Facts)) func(*Subject, *facts.Facts) {
		return func(s *Subject, f *facts.Facts) {
			for _, each := range fs {
				each(s, f)
			}
		}
	}
	noDefault := func(s *Subject, _ *facts.Facts) { s.Doc.Default = nil }
	ipv6 := func(s *Subject, _ *facts.Facts) {
		for i := range s.Doc.Uplinks {
			s.Doc.Uplinks[i].Gateway6 = policy.Gateway{Present: true, Auto: true, Pos: policy.Pos{Line: 1}}
		}
	}
	filter := func(r facts.ReverseFilter) func(*Subject, *facts.Facts) {
		return func(_ *Subject, f *facts.Facts) { f.ReverseFilters = append(f.ReverseFilters, r) }
	}
	firewalld := facts.ReverseFilter{Table: "inet firewalld", Chain: "filter_PREROUTING", Handle: 7, Family: plan.IPv6}
	main := func(shares ...facts.MainShare) func(*Subject, *facts.Facts) {
		return func(_ *Subject, f *facts.Facts) { f.Main = shares }
	}
	docker := func(_ *Subject, f *facts.Facts) {
		f.Chains, f.Dropping = []string{dockerUser}, []facts.DropChain{{Table: "ip filter", Chain: "FORWARD", Hook: "forward"}}
	}
	runs := func(name string) func(*Subject, *facts.Facts) {
		return func(_ *Subject, f *facts.Facts) { f.Programs = []string{name} }
	}
	noWatch := func(_ *Subject, f *facts.Facts) { f.State.WatchPID = 0 }
	flush := func(u facts.Flusher) func(*Subject, *facts.Facts) {
		return func(_ *Subject, f *facts.Facts) { f.Flushers = []facts.Flusher{u} }
	}
	for name, c := range map[string]struct {
		fault func(*Subject, *facts.Facts)
		want  []string // of one line; the first word is the level
	}{
		"tailscale, exit node": {has("tailscale", 0, 52),
			[]string{"fail Tailscale: its ip rules 5210, 5230, 5250, 5270 are before pbr's", "exit node", "rule-priority = 4000"}},
		"tailscale": {has("tailscale", 0), []string{"ok Tailscale", "only packets to the tailnet"}},
		"tailscale, behind": {has("tailscale", 20000),
			[]string{"warn Tailscale", "packets to the tailnet are sent through an uplink", "to 100.64.0.0/10 lookup 52"}},
		"tailscale, behind no default": {both(has("tailscale", 20000), noDefault), []string{"ok Tailscale", "what no policy catches"}},
		"netbird, exit node": {has("netbird", 0, 7120),
			[]string{"fail NetBird: its ip rules 105, 110 are before pbr's", "NB_USE_LEGACY_ROUTING=true"}},
		"netbird, behind 5000": {has("netbird", 5200, 7120), []string{"fail NetBird", "rule-priority = 4000"}},
		"netbird":              {has("netbird", 0), []string{"ok NetBird", "NetBird's own networks"}},
		"wg-quick, first": {has("wg-quick", 0, 51820),
			[]string{"fail wg-quick (table 51820): its ip rules 9998, 9999 are before pbr's", "Table = off", "rule-priority = 3000"}},
		"wg-quick, hidden": {has("wg-quick", 22766, 51820),
			[]string{"fail wg-quick (table 51820): its ip rules 32764, 32765 are behind pbr's", "in the clear",
				"Table = off", "rule-priority = 3000"}},
		"wg-quick, no default": {both(has("wg-quick", 22766, 51820), noDefault),
			[]string{"ok wg-quick (table 51820)", "the tunnel carries what no policy"}},
		"keepalived's rules": {has("keepalived", 0),
			[]string{"warn keepalived: its ip rule 16384 is behind pbr's", "they do nothing", "below 10000"}},
		"keepalived's rules, before": {has("keepalived", -10000), []string{"warn keepalived: its ip rule 6384 is before pbr's"}},
		"pbrd": {has("pbrd", 0),
			[]string{"warn FRR pbrd: its ip rule 304 is before pbr's (of a pbr-map), the first one from all iif lan0 lookup 10000"}},
		"pbrd, behind":         {has("pbrd", 20000), []string{"warn FRR pbrd", "they do nothing", "rule-priority above them"}},
		"keepalived, no watch": {both(runs("keepalived"), noWatch), []string{"warn keepalived: runs here (VRRP)", "pbr.service"}},
		"keepalived and watch": {runs("keepalived"), []string{"ok keepalived: runs here (VRRP)"}},

		"firewalld": {both(ipv6, filter(firewalld)),
			[]string{"fail firewalld: rule 7 of chain filter_PREROUTING", "IPv6",
				"answers that arrive on isp2 are lost", "IPv6_rpfilter=loose"}},
		"firewalld, no default": {both(ipv6, noDefault, filter(firewalld)), []string{"fail firewalld", "isp1, isp2"}},
		"another, for some": {both(ipv6,
			filter(facts.ReverseFilter{Table: "ip f", Chain: "pre", Handle: 3, Family: plan.IPv4, Limited: true})),
			[]string{"warn ip f pre: rule 3", "IPv4 packets of some interfaces", "handle 3 iifname { wan2 } accept"}},
		"main's full table": {main(facts.MainShare{Family: plan.IPv4, Dev: "wan2", Routes: 4, Share: 0.5}),
			[]string{"warn main's full table: main has 4 specific routes through wan2, for 50 % of all IPv4", `main-first = "connected"`}},
		"many routes": {main(facts.MainShare{Family: plan.IPv6, Dev: "wan2", Routes: 200000, Share: 0.01}),
			[]string{"warn main's full table: main has 200000"}},
		"docker": {docker, []string{"warn Docker", "FORWARD to drop", "iptables -I DOCKER-USER -o wan1 -j ACCEPT"}},
		"docker on a server": {both(docker,
			func(s *Subject, _ *facts.Facts) { s.Doc.Settings.Forward = policy.ForwardOff }), []string{"ok Docker"}},
		"podman": {func(_ *Subject,
			f *facts.Facts) {
			f.Chains = []string{"ip nat NETAVARK-HOSTPORT-DNAT"}
		}, []string{"ok podman"}},
		"nftables.service": {flush(facts.Flusher{Unit: "nftables.service", File: "/etc/nftables.conf"}),
			[]string{"warn nftables.service: loads /etc/nftables.conf, which begins with flush ruleset", "delete table inet filter"}},
		"another unit, no watch": {both(noWatch, flush(facts.Flusher{Unit: "fw.service"})),
			[]string{"warn fw.service: runs nft flush ruleset", "systemctl edit --full fw.service", "run pbr watch"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := healthy(t, twoUplinks)
			c.fault(s, f)
			var lines []string
			for _, x := range Examine(s, f) {
				if x.Group == groupOthers && x.Subject != "nftables" && x.Subject != "ip rules" {
					lines = append(lines, string(x.Level)+" "+x.Subject+": "+x.Text+" - "+x.Do)
				}
			}
			if len(lines) != 1 {
				t.Fatalf("found %q", lines)
			}
			for _, w := range c.want {
				if !strings.Contains(lines[0], w) {
					t.Errorf("%q lacks %q", lines[0], w)
				}
			}
			if strings.Contains(lines[0], "rule del") {
				t.Errorf("rules of a program that makes them again are not to be deleted: %q", lines[0])
			}
		})
	}
	for name, fault := range map[string]func(*Subject, *facts.Facts){
		"firewalld without IPv6": filter(firewalld),
		"firewalld beside a tunnel that carries IPv6 only because it could": both(func(s *Subject, f *facts.Facts) {
			u := &s.Doc.Uplinks[1]
			u.Gateway = policy.Gateway{Pos: u.Pos, Present: true, Link: true, Implicit: true}
			u.Gateway6 = u.Gateway
			link := f.Host.Links[u.Interface]
			link.Gateway4 = netip.Addr{}
			f.Host.Links[u.Interface] = link
		}, filter(firewalld)),
		"some static routes": main(facts.MainShare{Family: plan.IPv4, Dev: "wan2", Routes: 20, Share: 0.01}),
		"main comes second": both(main(facts.MainShare{Family: plan.IPv4, Dev: "wan2", Routes: 4, Share: 0.5}),
			func(s *Subject, _ *facts.Facts) { s.Doc.Settings.MainFirst = policy.MainFirstConnected }),
	} {
		s, f := healthy(t, twoUplinks)
		fault(s, f)
		if bad := notOK(Examine(s, f)); bad != nil {
			t.Errorf("%s: found %q", name, bad)
		}
	}
}

// A neighbour's rule that takes pbr's bits of the mark, or stands among pbr's, is named for that.
func TestNeighboursInTheWay(t *testing.T) {
	t.Run("it takes pbr's bits of the mark", func(t *testing.T) {
		s, f := healthy(t, "pbr = { mark-mask = 0x00ff0000 }\n"+twoUplinks)
		f.Rules = append(f.Rules, rulesOf("tailscale", 0)...)
		if bad := notOK(Examine(s, f)); !slices.ContainsFunc(bad,
			func(b string) bool { return strings.Contains(b, "matches bits of the mark that are pbr's") }) {
			t.Errorf("%q", bad)
		}
	})
	t.Run("it stands among pbr's", func(t *testing.T) {
		s, f := healthy(t, twoUplinks)
		f.Rules = append(f.Rules, rulesOf("tailscale", 5000)...)
		if bad := notOK(Examine(s, f)); !slices.ContainsFunc(bad,
			func(b string) bool { return strings.HasPrefix(b, "fail ip -4 rule 10270") }) {
			t.Errorf("%q", bad)
		}
	})
}

func TestReadFlushers(t *testing.T) {
	const debian = "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\nExecStop=/usr/sbin/nft flush ruleset\n"
	wants := "etc/systemd/system/sysinit.target.wants/"
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for name, c := range map[string]struct {
		root fstest.MapFS
		want []facts.Flusher
	}{
		"none": {fstest.MapFS{}, nil},
		"not enabled": {fstest.MapFS{"lib/systemd/system/nftables.service": file(debian),
			"etc/nftables.conf": file("flush ruleset\n")}, nil},
		"debian": {fstest.MapFS{"lib/systemd/system/nftables.service": file(debian), wants +
			"nftables.service": file(debian), "etc/nftables.conf": file("#!/usr/sbin/nft -f\n\nflush  ruleset\n")},
			[]facts.Flusher{{Unit: "nftables.service", File: "/etc/nftables.conf"}}},
		"stops with it": {fstest.MapFS{"lib/systemd/system/nftables.service": file(debian), wants +
			"nftables.service": file(debian), "etc/nftables.conf": file("# flush ruleset\n")},
			[]facts.Flusher{{Unit: "nftables.service"}}},
		"overridden": {fstest.MapFS{"lib/systemd/system/nftables.service": file(debian),
			"etc/systemd/system/nftables.service": file("[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\n"),
			wants + "nftables.service":            file(""),
			"etc/nftables.conf":                   file("table inet filter\ndelete table inet filter\n")}, nil},
		"of one's own": {fstest.MapFS{"etc/systemd/system/fw.service": file("[Service]\nExecStart=/bin/sh " +
			"-c 'nft flush ruleset; nft -f /root/fw'\n"), wants + "fw.service": file("")},
			[]facts.Flusher{{Unit: "fw.service"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ReadFlushers(c.root); !slices.Equal(got, c.want) {
				t.Errorf("%s: %+v, want %+v", name, got, c.want)
			}
		})
	}
}
