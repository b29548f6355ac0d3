package render

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

func diffText(t *testing.T, have, want *plan.Plan, colour bool) string {
	return text(t, func(b *bytes.Buffer) error { return Diff(b, have, want, plan.Diff(have, want), colour) })
}

// dropFrom is a rule that is told apart by its comment.
func dropFrom(comment string) plan.ChainRule {
	r := rule(nil, plan.Drop{})
	r.Comment = comment
	return r
}

func chainOf(comments ...string) []plan.Chain {
	c := plan.Chain{Name: "classify"}
	for _, s := range comments {
		c.Rules = append(c.Rules, dropFrom(s))
	}
	return []plan.Chain{c}
}

func ports100(n uint32) []plan.Set {
	s := plan.Set{Name: "dports", Type: plan.TypePort}
	for i := range n {
		s.Elements = append(s.Elements, span(plan.TypePort, 100+i, 100+i))
	}
	return []plan.Set{s}
}

// Of many deferred parts the first are shown, and the number of the others.
func TestManyWaiting(t *testing.T) {
	p := &plan.Plan{}
	for range 200 {
		p.Deferred = append(p.Deferred, plan.Deferred{Object: "uplink a", Reason: "b"})
	}
	got := diffText(t, p, p, false)
	if strings.Count(got, "\n") != shownDeferred+1 || !strings.HasSuffix(got, "# deferred: 190 more; pbr diff --json lists all of them\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestDiffText(t *testing.T) {
	alien := route("0.0.0.0/0", 101, 1, hop("eth1", "192.0.2.1"))
	alien.Foreign = "src 192.0.2.9"
	have := &plan.Plan{
		Sysctls: []plan.Sysctl{{Path: "net/ipv4/ip_forward", Value: "0"}},
		Routes:  []plan.Route{alien},
		Rules: []plan.Rule{{Family: plan.IPv4, Priority: 10010, Src: netip.MustParsePrefix("10.0.0.0/8"),
			Action: plan.ActLookup, Table: 99, Protocol: 3}},
		Ruleset: plan.Ruleset{
			Counters: []plan.Counter{{Name: "policy-x"}},
			Sets:     ports100(2),
			Chains:   chainOf("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"),
			Foreign:  []string{"flowtable f"},
		},
	}
	have.Ruleset.Chains[0].Rules[9] = plan.ChainRule{Foreign: "[ counter ]"}
	want := &plan.Plan{
		Numbers: []plan.Number{{Name: "isp1", Table: 101}},
		Sysctls: []plan.Sysctl{{Path: "net/ipv4/ip_forward", Value: "1"}},
		Routes:  []plan.Route{route("0.0.0.0/0", 101, 1, hop("eth1", "192.0.2.1")), route("::/0", 101, 1, hop("eth1", "fe80::1"))},
		Rules:   []plan.Rule{{Family: plan.IPv4, Priority: 10010, Action: plan.ActLookup, Table: 101, Protocol: 112}},
		Ruleset: plan.Ruleset{
			Counters: []plan.Counter{{Name: "policy-voip", Comment: "policy voip"}},
			Sets:     []plan.Set{{Name: "dports", Type: plan.TypePort, Elements: single(plan.TypePort, 101, 443)}},
			Chains:   chainOf("1", "2", "3", "three and a half", "4", "5", "6", "7", "8", "9", "11"),
		},
		Deferred: []plan.Deferred{{Object: "uplink isp2", Reason: "interface eth2 does not exist"}},
	}
	const text = `--- live
+++ planned
@@ sysctl @@
-net/ipv4/ip_forward=0
+net/ipv4/ip_forward=1
@@ ip -4 route @@
-default via 192.0.2.1 dev eth1 table 101 proto 112 metric 1 src 192.0.2.9 # table isp1
+default via 192.0.2.1 dev eth1 table 101 proto 112 metric 1 # table isp1
@@ ip -6 route @@
+default via fe80::1 dev eth1 table 101 proto 112 metric 1 # table isp1
@@ ip -4 rule @@
+priority 10010 from all lookup 101 protocol 112 # table isp1
-priority 10010 from 10.0.0.0/8 lookup 99 protocol 3
@@ table inet pbr counters @@
+counter policy-voip comment "policy voip"
-counter policy-x
@@ table inet pbr set dports @@
-100
+443
@@ table inet pbr chain classify, rule 2 @@
 drop comment "2"
 drop comment "3"
+drop comment "three and a half"
 drop comment "4"
 drop comment "5"
@@ table inet pbr chain classify, rule 9 @@
 drop comment "8"
 drop comment "9"
-# foreign: [ counter ]
 drop comment "11"
@@ table inet pbr, not made by pbr @@
-flowtable f
# deferred: uplink isp2: interface eth2 does not exist
`
	if got := diffText(t, have, want, false); got != text {
		t.Errorf("got\n%s\nwant\n%s", got, text)
	}
}

func TestDiffNothing(t *testing.T) {
	p := widePlan()
	p.Deferred = nil
	t.Run("a plan does not differ from itself", func(t *testing.T) {
		if got := diffText(t, p, p, true); got != "" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("what is deferred is told all the same", func(t *testing.T) {
		p.Deferred = []plan.Deferred{{Object: "uplink a", Reason: "b"}}
		if got, want := diffText(t, p, p, true), "# deferred: uplink a: b\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestDiffWhole shows that everything of a new plan comes, and everything of an old one goes.
func TestDiffWhole(t *testing.T) {
	p, none := widePlan(), &plan.Plan{}
	p.Deferred = nil
	for sign, s := range map[string]string{"+": diffText(t, none, p, false), "-": diffText(t, p, none, false)} {
		t.Run(sign, func(t *testing.T) {
			body := strings.SplitN(s, "\n", 3)[2]
			for line := range strings.Lines(body) {
				if !strings.HasPrefix(line, sign) && !strings.HasPrefix(line, "@@ ") {
					t.Errorf("%q does not begin with %s", line, sign)
				}
			}
			for _, want := range []string{"type filter hook prerouting priority mangle; policy accept;",
				"type mark : verdict", "chain first\n",
				"0x12000000 : goto mark-isp1", `accept comment "match 3"`} {
				if !strings.Contains(body, want) {
					t.Errorf("%s lacks %s", sign, want)
				}
			}
		})
	}
}

func TestDiffFolds(t *testing.T) {
	have, want := &plan.Plan{Ruleset: plan.Ruleset{Sets: ports100(0)}}, &plan.Plan{Ruleset: plan.Ruleset{Sets: ports100(21)}}
	t.Run("a long list of elements ends early", func(t *testing.T) {
		got := diffText(t, have, want, false)
		if !strings.HasSuffix(got, "+119\n+... 1 more\n") {
			t.Errorf("got\n%s", got)
		}
	})
	t.Run("one element more than the fold is shown", func(t *testing.T) {
		want.Ruleset.Sets = ports100(20)
		if got := diffText(t, have, want, false); !strings.HasSuffix(got, "+119\n") {
			t.Errorf("got\n%s", got)
		}
	})
}

func TestDiffRebuild(t *testing.T) {
	have := &plan.Plan{Ruleset: plan.Ruleset{Sets: ports100(3), Chains: chainOf("1", "2")}}
	want := &plan.Plan{Ruleset: plan.Ruleset{Sets: ports100(3), Chains: chainOf("1", "3")}}
	want.Ruleset.Sets[0].Interval = true
	want.Ruleset.Sets[0].Elements = want.Ruleset.Sets[0].Elements[1:]
	c := &want.Ruleset.Chains[0]
	c.Kind, c.Hook, c.Priority = "filter", "output", 7
	const text = `--- live
+++ planned
@@ table inet pbr set dports @@
 type inet_service
+flags interval
-100
@@ table inet pbr chain classify @@
+type filter hook output priority 7; policy accept;
 drop comment "1"
-drop comment "2"
+drop comment "3"
`
	if got := diffText(t, have, want, false); got != text {
		t.Errorf("got\n%s\nwant\n%s", got, text)
	}
}

func TestDiffColour(t *testing.T) {
	have := &plan.Plan{Sysctls: []plan.Sysctl{{Path: "a", Value: "0"}}}
	want := &plan.Plan{Sysctls: []plan.Sysctl{{Path: "a", Value: "1"}}}
	got := diffText(t, have, want, true)
	text := "\x1b[31m--- live\x1b[m\n\x1b[32m+++ planned\x1b[m\n\x1b[36m@@ sysctl @@\x1b[m\n\x1b[31m-a=0\x1b[m\n\x1b[32m+a=1\x1b[m\n"
	if got != text {
		t.Errorf("got %q, want %q", got, text)
	}
}

func TestSummary(t *testing.T) {
	have, want := &plan.Plan{}, widePlan()
	for _, c := range []struct {
		name       string
		have, want *plan.Plan
		lines      []string
	}{
		{"nothing", have, have, nil},
		{"everything is new", have, want, []string{
			fmt.Sprintf("sysctls: %d set", len(want.Sysctls)), fmt.Sprintf("routes: %d added", len(want.Routes)),
			fmt.Sprintf("rules: %d added", len(want.Rules)), "counters: 2 added", fmt.Sprintf("sets: %d added", len(want.Ruleset.Sets)),
			fmt.Sprintf("chains: %d added", len(want.Ruleset.Chains))}},
		{"each kind of change", &plan.Plan{Routes: []plan.Route{route("::/0", 1, 1, hop("a", "")), route("::/0", 1, 2, hop("a", ""))},
			Ruleset: plan.Ruleset{Sets: ports100(4), Chains: chainOf("1", "2", "3"), Foreign: []string{"quota q"}}},
			&plan.Plan{Routes: []plan.Route{route("::/0", 1, 1, hop("b", ""))},
				Ruleset: plan.Ruleset{Sets: ports100(6), Chains: chainOf("1", "x", "y", "z", "3")}},
			[]string{"routes: 1 replaced, 1 removed", "sets: 1 changed, 2 elements added",
				"chains: 1 changed, 3 rules added, 1 rule removed",
				"foreign objects: 1 removed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Summary(plan.Diff(c.have, c.want)); !slices.Equal(got, c.lines) {
				t.Errorf("got %q, want %q", got, c.lines)
			}
		})
	}
}

func TestFirstTime(t *testing.T) {
	one := &plan.Plan{Routes: []plan.Route{route("::/0", 1, 1, hop("a", ""))}}
	settings := &plan.Plan{Sysctls: []plan.Sysctl{{Path: "net/ipv4/ip_forward", Value: "1"}}}
	foreign := &plan.Plan{Ruleset: plan.Ruleset{Foreign: []string{"quota q"}}}
	const rest = ": nothing of pbr is in the kernel yet, and pbr apply does all of this"
	for _, c := range []struct {
		name       string
		have, want *plan.Plan
		text       string
	}{
		{"nothing to do", &plan.Plan{}, &plan.Plan{}, ""},
		{"one object", &plan.Plan{}, one, "1 object to add (1 route)" + rest},
		{"a setting", &plan.Plan{}, settings, "1 setting to change" + rest},
		{"both", &plan.Plan{}, &plan.Plan{Routes: one.Routes, Sysctls: settings.Sysctls,
			Ruleset: plan.Ruleset{Chains: chainOf("1"), Sets: ports100(4)}},
			"3 objects to add (1 route, 1 set, 1 chain), 1 setting to change" + rest},
		{"something is there", one, &plan.Plan{Ruleset: plan.Ruleset{Sets: ports100(4)}}, ""},
		{"something of somebody else's in the table", foreign, one, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := FirstTime(c.have, plan.Diff(c.have, c.want)); got != c.text {
				t.Errorf("got %q, want %q", got, c.text)
			}
		})
	}
}
