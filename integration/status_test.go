package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pbr/integration/steps"
)

// steered is a policy or rule in pbr status --json.
type steered struct {
	Name   string
	Line   int
	Target struct {
		Kind, Name string
		Strict     bool
	}
	Uplinks  map[string][]string
	Hits     *uint64
	Problem  string
	Action   string
	Priority int
}

// steering reads policies and rules from pbr status.
func (w *watched) steering() map[string]steered {
	w.t.Helper()
	var s struct{ Policies, Rules []steered }
	res := w.router.pbr("status", "--json")
	if err := json.Unmarshal([]byte(res.Stdout), &s); err != nil {
		w.t.Fatalf("pbr status: %v\n%s%s", err, res.Stdout, res.Stderr)
	}
	all := map[string]steered{}
	for _, one := range slices.Concat(s.Policies, s.Rules) {
		all[one.Name] = one
	}
	return all
}

// A policy's status: its target, the uplinks that new connections use, how many it has caught, and
// what is wrong; with a watch and without.
func TestStatusOfPolicies(t *testing.T) {
	t.Parallel()
	policy := uplinkPolicy + `
[[rule]]
name = "cams"
src = "192.168.10.15"
table = "third"
[[rule]]
name = "never"
src = "192.168.77.0/24"
action = "unreachable"
`
	w := newUplinkPolicy(t, policy)
	step := steps.Of(t)
	step.Run("before apply", func(t *testing.T) {
		if s := w.steering()["falls-back"]; s.Problem != "not applied" || s.Hits != nil {
			t.Errorf("before apply: %+v", s)
		}
	})
	w.start()
	for _, uplink := range []string{"isp1", "isp2", "isp3"} {
		w.waitState(uplink, "up")
	}
	for range 3 {
		w.arrives(byFallback)
	}
	w.arrives(byKill)
	both := func(uplinks ...string) string {
		return fmt.Sprint(map[string][]string{"ipv4": uplinks, "ipv6": uplinks})
	}
	check := func(t *testing.T, when, name, uplinks, problem string) {
		t.Helper()
		if s := w.steering()[name]; fmt.Sprint(s.Uplinks) != uplinks || !strings.Contains(s.Problem, problem) ||
			problem == "" && s.Problem != "" || s.Line == 0 {
			t.Errorf("%s: %s: %+v, wanted %s and %q", when, name, s, uplinks, problem)
		}
	}
	step.Run("all uplinks up", func(t *testing.T) {
		check(t, "all up", "falls-back", both("isp2"), "")
		check(t, "all up", "strict", both("isp2"), "")
		check(t, "all up", "strict-pool", both("isp2", "isp3"), "")
		check(t, "all up", "cams", both("isp3"), "")
		all := w.steering()
		if s := all["falls-back"]; s.Hits == nil || *s.Hits != 3 || s.Target.Kind != "uplink" || s.Target.Name != "isp2" ||
			s.Target.Strict {
			t.Errorf("three connections, to an uplink: %+v", s)
		}
		if s := all["strict"]; s.Hits == nil || *s.Hits != 1 || !s.Target.Strict {
			t.Errorf("one connection, strict: %+v", s)
		}
		if s := all["never"]; s.Action != "unreachable" || s.Priority != 10301 || all["cams"].Priority != 10300 {
			t.Errorf("rules: %+v, %+v", s, all["cams"])
		}
	})
	step.Run("an uplink ordered down", func(t *testing.T) {
		says(t, w.router.pbr("uplink", "isp2", "down"), 0)
		check(t, "isp2 down", "falls-back", both("isp1"), "its uplink is forced-down: new connections use default")
		check(t, "isp2 down", "strict", both(), "its uplink is forced-down: new connections are unreachable")
		check(t, "isp2 down", "strict-pool", both("isp3"), "not usable: isp2")
		if out := w.router.pbr("status").Stdout; !strings.Contains(out, "its uplink is forced-down: new connections use default") {
			t.Errorf("for people:\n%s", out)
		}
	})
	step.Run("without a watch", func(t *testing.T) {
		w.stop()
		check(t, "without a watch", "falls-back", both("isp1"), "its uplink is forced-down: new connections use default")
	})
	w.clientsShown()
}

// clientsShown checks who is remembered by the balance.
func (w *watched) clientsShown() {
	w.t.Helper()
	w.arrives(byPool)
	var s struct {
		Balance string
		Clients []struct {
			Family          int
			Address, Member string
			Expires         float64 `json:"expires_s"`
		}
	}
	text := w.router.must("status", "--clients", "pool", "--json")
	if err := json.Unmarshal([]byte(text), &s); err != nil || len(s.Clients) != 1 {
		w.t.Fatalf("pbr status --clients: %v\n%s", err, text)
	}
	if c := s.Clients[0]; c.Address != byPool.String() || c.Member != "third" || c.Family != 4 || c.Expires < 3500 || c.Expires > 3600 {
		w.t.Errorf("the client: %+v", c)
	}
	if out := w.router.must("status", "--clients", "pool"); !strings.Contains(out, byPool.String()+"  third ") {
		w.t.Errorf("for people:\n%s", out)
	}
	if res := w.router.pbr("status", "--clients", "pol"); res.Code != 1 || !strings.Contains(res.Stderr, `did you mean "pool"`) {
		w.t.Errorf("an unknown balance: %d %s", res.Code, res.Stderr)
	}
}

// Marks, tables and priorities are in the status, as the kernel has them.
func TestStatusHasNumbers(t *testing.T) {
	t.Parallel()
	w := newWatched(t, watchPolicy, 2)
	w.router.apply(watchPolicy)
	w.dial(bySecond)
	var s struct {
		Mask         string
		InsideBit    string `json:"inside_bit"`
		RulePriority int    `json:"rule_priority"`
		Uplinks      []struct {
			Name, Mark string
			StrictMark string `json:"strict_mark"`
			Table      int
		}
		Tables []struct {
			Name, Mark string
			Table      int
		}
	}
	res := w.router.pbr("status", "--json")
	if err := json.Unmarshal([]byte(res.Stdout), &s); err != nil {
		t.Fatal(err)
	}
	step := steps.Of(t)
	step.Run("the mask, the first priority, and nothing that is not known", func(t *testing.T) {
		if s.Mask != "0xff000000" || s.RulePriority != 10000 || strings.Contains(res.Stdout, `"bytes"`) ||
			strings.Contains(res.Stdout, `"rtt_ms"`) {
			t.Errorf("numbers: %s", res.Stdout)
		}
	})
	rules := w.Router.Run("ip", "rule")
	mask := defaultMask &^ w.router.insideBit()
	for _, u := range s.Uplinks {
		t.Run(u.Name, func(t *testing.T) {
			if !strings.Contains(rules, fmt.Sprintf("fwmark %s/%#x lookup %d", u.Mark, mask, u.Table)) {
				t.Errorf("uplink %+v is not in\n%s", u, rules)
			}
		})
	}
	for _, table := range s.Tables {
		t.Run(table.Name, func(t *testing.T) {
			if table.Mark != "0x0" && !strings.Contains(rules, fmt.Sprintf("fwmark %s/%#x lookup %d", table.Mark, mask, table.Table)) {
				t.Errorf("table %+v is not in\n%s", table, rules)
			}
		})
	}
	step.Run("connections have the marks of their uplinks", func(t *testing.T) {
		mark, _ := strconv.ParseUint(s.Uplinks[1].Mark, 0, 32)
		inside, _ := strconv.ParseUint(s.InsideBit, 0, 32)
		if c := w.connections()[bySecond.String()]; inside == 0 || c.Mark != fmt.Sprintf("0x%x", mark|inside) {
			t.Errorf("isp2's mark is %s, the bit of connections from inside %s, the mark of its connection %s",
				s.Uplinks[1].Mark, s.InsideBit, c.Mark)
		}
	})
}

// apply and diff tell the same changes, object by object, also through a watch.
func TestChangesAsJSON(t *testing.T) {
	t.Parallel()
	type changes struct {
		InSync  bool `json:"in_sync"`
		Changes []struct {
			Op, Kind, Text, Name, Dst string
			Family, Priority          int
		}
		Changed, Warnings []string
	}
	read := func(t *testing.T, res string) (c changes) {
		t.Helper()
		if err := json.Unmarshal([]byte(res), &c); err != nil || c.Changed == nil || c.Warnings == nil || c.Changes == nil {
			t.Fatalf("%v: %s", err, res)
		}
		return c
	}
	w := newWatched(t, watchPolicy, 2)
	step := steps.Of(t)
	step.Run("diff says what apply does", func(t *testing.T) {
		planned := read(t, w.router.pbr("diff", "--json").Stdout)
		done := read(t, w.router.must("apply", "--json"))
		if fmt.Sprint(planned) != fmt.Sprint(done) || done.InSync || len(done.Changes) < 20 {
			t.Errorf("planned:\n%+v\ndone:\n%+v", planned, done)
		}
		kinds := map[string]bool{}
		for _, c := range done.Changes {
			if c.Text == "" || c.Op != "add" && c.Op != "set" {
				t.Errorf("a change of a first apply: %+v", c)
			}
			kinds[c.Kind] = true
		}
		for _, kind := range []string{"route", "rule", "chain", "set"} {
			if !kinds[kind] {
				t.Errorf("no %s in %+v", kind, done.Changes)
			}
		}
	})
	step.Run("a second apply does nothing", func(t *testing.T) {
		if again := read(t, w.router.must("apply", "--json")); !again.InSync || len(again.Changes) != 0 {
			t.Errorf("a second apply: %+v", again)
		}
	})
	step.Run("through the watch", func(t *testing.T) {
		w.start()
		w.waitState("isp2", "up")
		w.router.write(moreLater)
		if c := read(t, w.router.must("apply", "--json")); c.InSync || !slices.ContainsFunc(c.Changes, func(one struct {
			Op, Kind, Text, Name, Dst string
			Family, Priority          int
		}) bool {
			return one.Kind == "counter" && one.Op == "add" && strings.Contains(one.Name, "more")
		}) {
			t.Errorf("through the watch: %+v", c)
		}
	})
}
