package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func testRoute(table uint32, dst string, metric uint32, dev, via string) Route {
	r := Route{Table: table, Dst: netip.MustParsePrefix(dst), Metric: metric, Kind: Unicast, Protocol: Protocol, Family: IPv4}
	if r.Dst.Addr().Is6() {
		r.Family = IPv6
	}
	h := Hop{Dev: dev, Weight: 1}
	if via != "" {
		h.Via = netip.MustParseAddr(via)
	}
	r.Hops = []Hop{h}
	return r
}

// steps prints what a Changes does to routes and rules, one step an entry.
func steps(c *Changes) []string {
	var out []string
	for _, r := range c.Routes {
		switch {
		case r.Have == nil:
			out = append(out, fmt.Sprintf("add %v", r.Want.Key()))
		case r.Want == nil:
			out = append(out, fmt.Sprintf("del %v proto %d", r.Have.Key(), r.Have.Protocol))
		default:
			out = append(out, fmt.Sprintf("replace %v by %v", r.Have.Hops, r.Want.Hops))
		}
	}
	for _, r := range c.Rules {
		switch {
		case r.Have == nil:
			out = append(out, fmt.Sprintf("add %d proto %d", r.Want.Priority, r.Want.Protocol))
		default:
			out = append(out, fmt.Sprintf("del %d proto %d", r.Have.Priority, r.Have.Protocol))
		}
	}
	return out
}

func TestDiffRoutes(t *testing.T) {
	a := testRoute(100, "0.0.0.0/0", 1, "eth1", "192.0.2.1")
	b := testRoute(100, "0.0.0.0/0", 2, "eth2", "198.51.100.1")
	a2 := testRoute(100, "0.0.0.0/0", 1, "eth2", "198.51.100.1")
	foreign := a
	foreign.Protocol = 3
	other := a
	other.Foreign = "src 192.0.2.9"
	for _, c := range []struct {
		name       string
		have, want []Route
		steps      []string
	}{
		{"same", []Route{a, b}, []Route{a, b}, nil},
		{"same, out of order", []Route{b, a}, []Route{a, b}, nil},
		{"added", []Route{a}, []Route{a, b}, []string{"add {4 100 0.0.0.0/0 2}"}},
		{"removed", []Route{a, b}, []Route{b}, []string{"del {4 100 0.0.0.0/0 1} proto 112"}},
		{"hop", []Route{a}, []Route{a2},
			[]string{"replace [{eth1 192.0.2.1 false false 1 false}] by [{eth2 198.51.100.1 false false 1 false}]"}},
		{"protocol", []Route{foreign}, []Route{a},
			[]string{"replace [{eth1 192.0.2.1 false false 1 false}] by [{eth1 192.0.2.1 false false 1 false}]"}},
		{"foreign attribute", []Route{other}, []Route{a},
			[]string{"replace [{eth1 192.0.2.1 false false 1 false}] by [{eth1 192.0.2.1 false false 1 false}]"}},
		{"foreign twin goes", []Route{a, foreign}, []Route{a}, []string{"del {4 100 0.0.0.0/0 1} proto 3"}},
		{"everything goes", []Route{a, b}, nil, []string{"del {4 100 0.0.0.0/0 1} proto 112", "del {4 100 0.0.0.0/0 2} proto 112"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Diff(&Plan{Routes: c.have}, &Plan{Routes: c.want})
			if s := steps(got); !slices.Equal(s, c.steps) {
				t.Errorf("got %q, want %q", s, c.steps)
			}
			if got.Empty() != (len(c.steps) == 0) {
				t.Errorf("Empty is %v", got.Empty())
			}
		})
	}
}

func TestDiffRules(t *testing.T) {
	a := Rule{Family: IPv4, Priority: 10010, Mark: 1, MarkMask: 1, Action: ActLookup, Table: 100, Protocol: Protocol}
	foreign := a
	foreign.Protocol = 3
	twin := a
	twin.Table = 101
	v6 := a
	v6.Family = IPv6
	for _, c := range []struct {
		name       string
		have, want []Rule
		steps      []string
	}{
		{"same", []Rule{v6, a}, []Rule{a, v6}, nil},
		{"wrong protocol", []Rule{foreign}, []Rule{a}, []string{"del 10010 proto 3", "add 10010 proto 112"}},
		{"twin of one priority", []Rule{a, twin}, []Rule{a}, []string{"del 10010 proto 112"}},
		{"other family", []Rule{a}, []Rule{v6}, []string{"del 10010 proto 112", "add 10010 proto 112"}},
		{"live duplicate goes", []Rule{a, a}, []Rule{a}, []string{"del 10010 proto 112"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if s := steps(Diff(&Plan{Rules: c.have}, &Plan{Rules: c.want})); !slices.Equal(s, c.steps) {
				t.Errorf("got %q, want %q", s, c.steps)
			}
		})
	}
}

func TestDiffSysctls(t *testing.T) {
	have := &Plan{Sysctls: []Sysctl{{"net/ipv4/a", "0"}, {"net/ipv4/b", "1"}, {"net/ipv4/x", "7"}}}
	want := &Plan{Sysctls: []Sysctl{{"net/ipv4/a", "1"}, {"net/ipv4/b", "1"}, {"net/ipv4/c", "1"}}}
	got := Diff(have, want).Sysctls
	if w := []SysctlChange{{"net/ipv4/a", "0", "1"}, {"net/ipv4/c", "", "1"}}; !slices.Equal(got, w) {
		t.Errorf("got %v, want %v", got, w)
	}
}

// TestDiffReachesWant does the steps of random differences, and must arrive at the wanted plan.
func TestDiffReachesWant(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		have, want := randomPlan(rng), randomPlan(rng)
		c := Diff(have, want)
		done := apply(have, c)
		if !slices.EqualFunc(done.Routes, want.Routes, Route.Equal) || !slices.Equal(done.Rules, want.Rules) {
			t.Fatalf("from %v\nby %q\narrived at %v\nnot at %v", have, steps(c), done, want)
		}
	}
}

func randomPlan(rng *rand.Rand) *Plan {
	p := &Plan{}
	seen := map[RouteKey]bool{}
	for range rng.IntN(8) {
		r := testRoute(uint32(100+rng.IntN(2)), []string{"0.0.0.0/0", "10.0.0.0/8", "::/0"}[rng.IntN(3)], uint32(1+rng.IntN(3)),
			[]string{"eth1", "eth2"}[rng.IntN(2)], "")
		if !seen[r.Key()] {
			seen[r.Key()] = true
			p.Routes = append(p.Routes, r)
		}
	}
	rules := map[Rule]bool{}
	for range rng.IntN(6) {
		r := Rule{Family: Families[rng.IntN(2)], Priority: uint32(10000 + rng.IntN(3)), Action: ActLookup, Table: uint32(100 + rng.IntN(2))}
		if !rules[r] {
			rules[r] = true
			p.Rules = append(p.Rules, r)
		}
	}
	Normalize(p)
	return p
}

// apply does what the kernel does with the steps.
func apply(have *Plan, c *Changes) *Plan {
	p := &Plan{Routes: slices.Clone(have.Routes), Rules: slices.Clone(have.Rules)}
	for _, r := range c.Routes {
		if r.Have != nil {
			i := slices.IndexFunc(p.Routes, r.Have.Equal)
			p.Routes = slices.Delete(p.Routes, i, i+1)
		}
		if r.Want != nil {
			p.Routes = append(p.Routes, *r.Want)
		}
	}
	for _, r := range c.Rules {
		if r.Have != nil {
			i := slices.Index(p.Rules, *r.Have)
			p.Rules = slices.Delete(p.Rules, i, i+1)
		}
		if r.Want != nil {
			p.Rules = append(p.Rules, *r.Want)
		}
	}
	Sort(p)
	return p
}
