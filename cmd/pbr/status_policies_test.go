package main

import (
	"testing"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/plan"
)

// A policy for IPv6 alone, whose target carries IPv4 alone, has a problem; a policy for both
// versions has none.
func TestProblemOfVersion(t *testing.T) {
	route := func(family plan.Family, uplinks ...string) activeRoute {
		return activeRoute{Family: family, Destination: plan.DefaultName, Uplinks: uplinks}
	}
	target := func(kind, name string, strict bool) daemon.OutlineTarget {
		return daemon.OutlineTarget{Kind: kind, Name: name, Strict: strict}
	}
	none := []activeRoute{route(plan.IPv4, "isp1")}
	for _, c := range []struct {
		name    string
		target  daemon.OutlineTarget
		only    plan.Family
		byDef   []activeRoute
		problem string
		uses    string
	}{
		{"strict uplink", target("uplink", "isp1", true), plan.IPv6, none, "IPv6: not carried by its uplink: new connections are unreachable", "-"},
		{"uplink", target("uplink", "isp1", false), plan.IPv6, none, "IPv6: not carried by its uplink: new connections use main's routes", "-"},
		{"uplink, default carries it", target("uplink", "isp1", false), plan.IPv6, append(none, route(plan.IPv6, "isp6")),
			"IPv6: not carried by its uplink: new connections use default", "isp6"},
		{"uplink, strict default", target("uplink", "isp1", false), plan.IPv6, append(none, route(plan.IPv6)),
			"IPv6: not carried by its uplink: new connections are unreachable", "-"},
		{"strict balance", target("balance", "pool", true), plan.IPv6, none,
			"IPv6: not carried by any member: new connections are unreachable", "-"},
		{"balance for both versions", target("balance", "pool", true), 0, none, "", "isp1"},
		{"balance for IPv4", target("balance", "pool", true), plan.IPv4, none, "", "isp1"},
		{"table", target("table", "four", false), plan.IPv6, none, "IPv6: its table has no route: new connections use main's routes", "-"},
		{"strict table", target("table", "kill", false), plan.IPv6, none, "IPv6: its table has no route: new connections are unreachable", "-"},
		{"table for both versions", target("table", "kill", false), 0, none, "", "isp1"},
		{"table with a route to some", target("table", "some", false), plan.IPv6, none, "", "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := &steering{live: &plan.Plan{}, applied: true,
				outline: &daemon.Outline{Uplinks: []daemon.OutlineUplink{
					{Name: "isp1", Families: []plan.Family{plan.IPv4}}, {Name: "isp6", Families: []plan.Family{plan.IPv6}}}},
				status: &statusResult{
					Balances: []balanceStatus{{Name: "pool", Members: []memberStatus{{"isp1", 1, []int{4}, nil}}}},
					Tables: []tableStatus{{Name: plan.DefaultName, Active: c.byDef}, {Name: "four", Active: none},
						{Name: "kill", Active: append(none, route(plan.IPv6))},
						{Name: "some", Active: append(none, activeRoute{Family: plan.IPv6, Destination: "2001:db8::/32", Uplinks: []string{"isp6"}})}},
				}}
			one := st.one("p", 1, c.target, c.only)
			if uses := folding(false).usesText(&one); one.Problem != c.problem || uses != c.uses {
				t.Errorf("problem %q, uses %q; want %q, %q", one.Problem, uses, c.problem, c.uses)
			}
		})
	}
}

// A policy outside its schedule uses no uplink, and says from when on it does.
func TestOutsideSchedule(t *testing.T) {
	now := time.Date(2026, 3, 4, 18, 26, 0, 0, time.Local)
	window := func(from, to time.Duration) plan.Element {
		return plan.Element{From: plan.KeyFromSeconds(now.Add(from).Unix()), To: plan.KeyFromSeconds(now.Add(to).Unix())}
	}
	for _, c := range []struct {
		name    string
		windows []plan.Element
		want    string
	}{
		{"within one", []plan.Element{window(-time.Hour, time.Hour), window(24*time.Hour, 25*time.Hour)}, ""},
		{"before one", []plan.Element{window(48*time.Hour, 49*time.Hour), window(154*time.Minute, 3*time.Hour)}, "21:00"},
		{"days before one", []plan.Element{window(48*time.Hour, 49*time.Hour)}, "Fri 2026-03-06 18:26"},
		{"at its end", []plan.Element{window(-time.Hour, 0)}, "never"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			switch outside, next := outsideWindows(c.windows, now); {
			case next != nil:
				got = windowText(*next, now)
			case outside:
				got = "never"
			}
			if got != c.want {
				t.Errorf("outside until %q, want %q", got, c.want)
			}
		})
	}
}
