package compiler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

func compiledText(t *testing.T, text string) *plan.Plan {
	t.Helper()
	doc, problems := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml")
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	p, problems := Compile(doc, plan.HostFacts{}, nil)
	if p == nil {
		t.Fatal(problems)
	}
	return p
}

// Policies of both kinds of traffic share a chain, which logs, counts and decides; a large list
// stays one set; sets that no rule looks up are omitted.
func TestPoliciesInMaps(t *testing.T) {
	var text strings.Builder
	text.WriteString(`
pbr = { offload = "off" }
uplink = [{ name = "isp1", interface = "wan1", gateway = "192.0.2.1" }, { name = "isp2", interface = "wan2", gateway = "198.51.100.1" }]
default = { routes = { uplink = "isp1" } }
[lists]
large = [`)
	for i := range 200 {
		fmt.Fprintf(&text, "%q, ", fmt.Sprintf("203.0.%d.0/25", i))
	}
	text.WriteString("]\nsmall = [\"198.51.100.7\", \"198.51.100.9\"]\n")
	for i := range 40 {
		fmt.Fprintf(&text, "[[policy]]\nname = \"p%d\"\nfrom = [\"local\", \"br-lan\"]\ndst = "+
			"[\"10.0.0.%d\", \"@small\"]\nproto = \"tcp\"\ndport = [80, %d]\nlog = true\nuplink = \"isp2\"\n", i, i, 1000+i)
	}
	text.WriteString("[[policy]]\nname = \"large\"\ndst = \"@large\"\nuplink = \"isp2\"\n")
	p := compiledText(t, text.String())

	chain := func(t *testing.T, name string) *plan.Chain {
		t.Helper()
		i := slices.IndexFunc(p.Ruleset.Chains, func(c plan.Chain) bool { return c.Name == name })
		if i < 0 {
			t.Fatalf("there is no chain %s", name)
		}
		return &p.Ruleset.Chains[i]
	}
	t.Run("the chain of a policy logs, counts and decides", func(t *testing.T) {
		body := chain(t, "policy-p7").Rules
		want := []plan.Action{plan.Count{Counter: "policy-p7"}, gotoChain("uplink-isp2")}
		if len(body) != 2 || !isLog(body[0].Actions[1]) || !slices.Equal(body[1].Actions, want) {
			t.Errorf("the chain of a policy is %+v", body)
		}
	})
	t.Run("policies of both kinds of traffic share that chain", func(t *testing.T) {
		chains := 0
		for _, c := range p.Ruleset.Chains {
			if c.Name == "policy-p7" {
				chains++
			}
		}
		if chains != 1 {
			t.Errorf("a policy has %d chains", chains)
		}
	})
	t.Run("forwarded traffic passes few rules", func(t *testing.T) {
		if n := len(chain(t, chainClassify).Rules); n > 3 {
			t.Errorf("forwarded traffic passes %d rules: %+v", n, chain(t, chainClassify).Rules)
		}
	})
	t.Run("local traffic passes few rules", func(t *testing.T) {
		if n := len(chain(t, chainClassifyLocal).Rules); n > 2 {
			t.Errorf("local traffic passes %d rules", n)
		}
	})
	t.Run("a large list stays one set, and sets that nothing looks up are left out", func(t *testing.T) {
		large := 0
		for _, s := range p.Ruleset.Sets {
			if strings.HasPrefix(s.Name, "ports-") || s.Name == "list-small-4" {
				t.Errorf("set %s is there, and nothing looks it up", s.Name)
			}
			if s.Name == "list-large-4" {
				large = len(s.Elements)
			}
		}
		if large != 200 {
			t.Errorf("the large list is a set of %d", large)
		}
	})
}

// Health does not touch what the policies became: a compiler does that once.
func TestClassifiedOnce(t *testing.T) {
	doc := documentOf(0xff000000)
	c := New(doc)
	c.Compile(plan.HostFacts{}, nil)
	first := c.classified
	c.Compile(plan.HostFacts{}, Down(map[string]int{"isp1": 1}))
	if first == nil || c.classified != first {
		t.Error("the policies were compiled again")
	}
}

func isLog(a plan.Action) bool {
	_, ok := a.(plan.Log)
	return ok
}
