package walk

import (
	"net/netip"
	"testing"

	"pbr/compiler/plan"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func way(table uint32, dst, dev string) plan.Route {
	return plan.Route{Family: plan.IPv4, Table: table, Dst: prefix(dst), Kind: plan.Unicast, Hops: []plan.Hop{{Dev: dev, Weight: 1}}}
}

// crossroads is a machine with a rule of each kind.
func crossroads() (*plan.Plan, *Facts) {
	rule := func(priority uint32, change func(*plan.Rule)) plan.Rule {
		r := plan.Rule{Family: plan.IPv4, Priority: priority, Action: plan.ActLookup, Table: plan.MainTable}
		change(&r)
		return r
	}
	p := &plan.Plan{
		Rules: []plan.Rule{
			rule(100, func(r *plan.Rule) { r.SuppressPrefix = 2 }),
			rule(110, func(r *plan.Rule) { r.Mark, r.MarkMask, r.Action, r.Goto = 0, 0xff, plan.ActGoto, 130 }),
			rule(120, func(r *plan.Rule) { r.Table = 7 }),
			rule(130, func(r *plan.Rule) { r.Action = plan.ActNop }),
			rule(140, func(r *plan.Rule) { r.Src, r.Action = prefix("10.0.1.0/24"), plan.ActProhibit }),
			rule(150, func(r *plan.Rule) {
				r.IIF, r.HasUID, r.UID, r.Table = "lo", true, plan.UIDRange{From: 1000, To: 1999}, 8
			}),
			rule(160, func(r *plan.Rule) { r.Dst, r.Invert, r.Proto, r.Table = prefix("9.0.0.0/8"), true, 0, 9 }),
			rule(170, func(r *plan.Rule) { r.Proto, r.DPort, r.Table = 6, plan.PortRange{From: 80, To: 90}, 8 }),
			rule(180, func(r *plan.Rule) { r.TOS, r.Action = 0x10, plan.ActBlackhole }),
		},
		Routes: []plan.Route{
			way(7, "0.0.0.0/0", "by-mark"), way(8, "0.0.0.0/0", "by-rule"), way(9, "8.0.0.0/8", "not-nine"),
			{Family: plan.IPv4, Table: 9, Dst: prefix("8.8.0.0/16"), Kind: plan.Throw},
			{Family: plan.IPv4, Table: 9, Dst: prefix("8.9.0.0/16"), Kind: plan.Unreachable},
		},
	}
	link := func(addr string) Link { return Link{Addrs: []netip.Prefix{prefix(addr)}} }
	f := &Facts{Known: true, Rules: kernelRules(), Links: map[string]Link{"lan": link("10.0.0.1/16"),
		"wan": link("192.0.2.2/24"), "by-mark": {}, "by-rule": {}, "not-nine": {}, "half": {}, "dead": {NoCarrier: true}},
		Routes: []plan.Route{way(plan.MainTable, "10.0.0.0/16", "lan"), way(plan.MainTable, "0.0.0.0/1", "half"),
			way(plan.MainTable, "0.0.0.0/0", "wan"),
			way(plan.MainTable, "172.16.0.0/12", "lan"), way(plan.MainTable, "172.16.1.0/24", "dead")}}
	return p, f
}

func TestRules(t *testing.T) {
	p, facts := crossroads()
	f := newFib(p, facts)
	flow := func(change func(*Flow)) *Flow {
		fl := &Flow{Src: netip.MustParseAddr("10.0.0.7"), Dst: netip.MustParseAddr("9.9.9.9"), IIF: "lan", Proto: 17}
		change(fl)
		return fl
	}
	to := func(dst string) func(*Flow) { return func(f *Flow) { f.Dst = netip.MustParseAddr(dst) } }
	for name, c := range map[string]struct {
		flow *Flow
		want string
	}{
		"main's specific routes come first":     {flow(to("10.0.3.3")), "lan"},
		"half of everything is a default":       {flow(func(*Flow) {}), "half"},
		"a mark does not skip its rule":         {flow(func(f *Flow) { f.Mark = 1 }), "by-mark"},
		"prohibited":                            {flow(func(f *Flow) { f.Src = netip.MustParseAddr("10.0.1.7") }), "prohibit"},
		"by uid":                                {flow(func(f *Flow) { f.IIF, f.UID = "lo", 1500 }), "by-rule"},
		"another's uid":                         {flow(func(f *Flow) { f.IIF, f.UID = "lo", 2000 }), "half"},
		"everything but":                        {flow(to("8.1.1.1")), "not-nine"},
		"throw goes on":                         {flow(to("8.8.8.8")), "half"},
		"an unreachable route ends it":          {flow(to("8.9.9.9")), "unreachable"},
		"ports":                                 {flow(func(f *Flow) { f.Proto, f.DPort = 6, 85 }), "by-rule"},
		"other ports":                           {flow(func(f *Flow) { f.Proto, f.DPort = 6, 91 }), "half"},
		"three bits of TOS":                     {flow(func(f *Flow) { f.DSCP = 46 }), "half"},
		"TOS":                                   {flow(func(f *Flow) { f.DSCP = 4 }), "drop"},
		"a link without a carrier is passed":    {flow(to("172.16.1.1")), "lan"},
		"the router itself":                     {flow(to("192.0.2.2")), "local"},
		"broadcast":                             {flow(to("192.0.2.255")), "local"},
		"the upper half has main's own default": {flow(to("200.1.1.1")), "wan"},
	} {
		t.Run(name, func(t *testing.T) {
			var w Way
			to := f.lookUp(c.flow)
			w.take(to)
			got := w.Fate.String()
			if len(to.hops) > 0 && w.Fate == Forwarded {
				got = to.hops[0].Dev
			}
			if got != c.want {
				t.Errorf("%s: %s, not %s", name, got, c.want)
			}
		})
	}
}

// TestSourceCheck asks the kernel's check of sources in its three modes.
func TestSourceCheck(t *testing.T) {
	for name, c := range map[string]struct {
		src       string
		check     SourceCheck
		wantValid bool
	}{
		"none: anybody":                {"172.31.0.1", SourceCheck{}, true},
		"none: not the router's own":   {"192.0.2.2", SourceCheck{}, false},
		"accept_local: the own, too":   {"192.0.2.2", SourceCheck{AcceptLocal: true}, true},
		"strict: by another interface": {"9.9.9.9", SourceCheck{ReversePath: 1}, false},
		"strict: by this one":          {"10.0.0.9", SourceCheck{ReversePath: 1}, true},
		"loose":                        {"9.9.9.9", SourceCheck{ReversePath: 2}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, facts := crossroads()
			link := facts.Links["lan"]
			link.Source = c.check
			facts.Links["lan"] = link
			trip := &trip{Packet: Packet{IIF: "lan", Src: netip.MustParseAddr(c.src), Dst: netip.MustParseAddr("200.1.1.1"), Proto: 17}}
			if got := newFib(p, facts).validSource(trip, "wan"); got != c.wantValid {
				t.Errorf("%s: %v", name, got)
			}
		})
	}
}

// TestSources6 follows RFC 6724: the outgoing interface's, then the same kind, then the longest
// match.
func TestSources6(t *testing.T) {
	f := newFib(&plan.Plan{}, &Facts{Known: true, Rules: kernelRules(), Links: map[string]Link{
		"a": {Index: 1, Addrs: []netip.Prefix{prefix("fe80::1/64"), prefix("2001:db8:1::1/64"), prefix("fd00::1/64")}},
		"b": {Index: 2, Addrs: []netip.Prefix{prefix("2001:db8:2::1/64"), prefix("2001:db9::1/64")}}}})
	for _, c := range []struct{ dev, dst, want string }{
		{"a", "2001:db8:2::9", "2001:db8:1::1"}, {"", "2001:db8:2::9", "2001:db8:2::1"},
		{"", "2001:db9::9", "2001:db9::1"}, {"a", "fd00::9", "fd00::1"}, {"", "2606::1", "2001:db8:1::1"},
	} {
		got := f.sources6(c.dev, netip.MustParseAddr(c.dst))
		if len(got) != 1 || got[0].String() != c.want {
			t.Errorf("to %s by %q: %v, not %s", c.dst, c.dev, got, c.want)
		}
	}
}
