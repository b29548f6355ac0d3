package compiler

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// oneUplink is what the policies of these tests begin with.
const oneUplink = "uplink = { name = \"isp1\", interface = \"eth1\", gateway = \"192.0.2.1\", nat = \"masquerade\" }\n"

func parse(t *testing.T, text string) *policy.Document {
	t.Helper()
	doc, ds := policy.ParseWith(fstest.MapFS{"p": {Data: []byte(text)}}, "p", "p", policy.Options{ErrorsOnly: true})
	if ds.HasErrors() {
		t.Fatalf("%v\n%s", ds, text)
	}
	return doc
}

func rules(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "[[rule]]\nname = \"r%d\"\n", i)
		fmt.Fprintf(&b, format, i/250, i%250)
		b.WriteString("\nuplink = \"isp1\"\n")
	}
	return b.String()
}

// withLinks has interfaces that are up, and nothing else.
func withLinks(links ...string) plan.HostFacts {
	m := plan.HostFacts{Known: true, Links: map[string]plan.Link{}}
	for _, name := range links {
		m.Links[name] = plan.Link{Up: true}
	}
	return m
}

func TestProblems(t *testing.T) {
	host := plan.HostFacts{Known: true, Links: map[string]plan.Link{
		"eth1": {Up: true, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
	}}
	lists := "lists = { a = [" + "\"10.0.0.1-10.0.0.254\", \"10.1.0.1-10.1.0.254\", \"10.2.0.1-10.2.0.254\"] }\n"
	for _, test := range []struct {
		code string
		text string
		host plan.HostFacts
	}{
		{policy.CodeTooManyRules, oneUplink + rules(601, "src = \"10.0.%d.%d\""), plan.HostFacts{}},
		{policy.CodeTooManyRules, oneUplink + rules(301, "action = \"lookup-only-in-table\"\nsrc = \"10.0.%d.%d\""), plan.HostFacts{}},
		{policy.CodeRuleTooWide, oneUplink + lists +
			"[[rule]]\nname = \"r\"\nsrc = \"@a\"\ndst = \"@a\"\nuplink = \"isp1\"\n", plan.HostFacts{}},
		{policy.CodeKernelTooOld, oneUplink + "[[rule]]\nname = \"r\"\ndscp = \"ef\"\nuplink = \"isp1\"\n", plan.HostFacts{Known: true}},
		{policy.CodeOwnGateway, oneUplink, host},
		{policy.CodeNoOffload, oneUplink + "pbr = { offload = { required = true } }\n", plan.HostFacts{Known: true, NoFlowtables: true}},
		{policy.CodeNoOffload, oneUplink + "pbr = { offload = { mode = \"all\", hardware = true, required = true } }\n", withLinks("eth1")},
	} {
		t.Run(test.text, func(t *testing.T) {
			p, ds := Compile(parse(t, test.text), test.host, nil)
			if p != nil || len(ds) == 0 || ds[0].Code != test.code || ds[0].Pos.Line == 0 {
				t.Errorf("%s: %v", test.code, ds)
			}
			if alone := Problems(parse(t, test.text), test.host); !slices.Equal(alone, ds) {
				t.Errorf("%s: without the plan the problems are %v", test.code, alone)
			}
		})
	}
}

// A policy with something of everything has no problem, with a plan or without.
func TestNoProblems(t *testing.T) {
	const fixtures = "../fixtures/policy"
	doc, ds := policy.Parse(os.DirFS(fixtures), "full.toml", "full.toml")
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	t.Run("with a plan", func(t *testing.T) {
		if p, ds := Compile(doc, plan.HostFacts{}, nil); p == nil || len(ds) > 0 {
			t.Errorf("%v", ds)
		}
	})
	t.Run("without a plan", func(t *testing.T) {
		if ds := Problems(doc, plan.HostFacts{}); len(ds) > 0 {
			t.Errorf("without the plan: %v", ds)
		}
	})
}

// As many rules as there are priorities fit.
func TestRulesFillTheirPriorities(t *testing.T) {
	doc := parse(t, oneUplink+rules(600, "src = \"10.0.%d.%d\""))
	p, ds := Compile(doc, plan.HostFacts{}, nil)
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	highest := uint32(0)
	for _, r := range p.Rules {
		if r.Src.IsValid() {
			highest = max(highest, r.Priority)
		}
	}
	if want := doc.Settings.RulePriority + priorityMain - 1; highest != want {
		t.Errorf("the last rule has priority %d, want %d", highest, want)
	}
}

// A plan is in normal form: the kernel side compares it with what it reads, which is.
func TestCompiledPlansAreNormal(t *testing.T) {
	doc := parse(t, oneUplink+`
default = { routes = { uplink = "isp1" } }
[[table]]
name = "t"
id = 112000
routes = { uplink = "isp1", dst = "0.0.0.0/0", distance = 2 }
[[rule]]
name = "all"
src = "0.0.0.0/0"
dst = ["0.0.0.0/0", "203.0.113.0/24"]
table = "t"
`)
	p, ds := Compile(doc, plan.HostFacts{}, nil)
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	t.Run("normalizing changes nothing", func(t *testing.T) {
		again, _ := Compile(doc, plan.HostFacts{}, nil)
		plan.Normalize(again)
		if changes := plan.Diff(p, again); !changes.Empty() {
			t.Errorf("normalizing a compiled plan changes it: %+v", changes)
		}
	})
	t.Run("no rule stands twice", func(t *testing.T) {
		seen := map[plan.Rule]bool{}
		for _, r := range p.Rules {
			if seen[r] {
				t.Errorf("rule twice: %+v", r)
			}
			seen[r] = true
		}
	})
	t.Run("no two names share a table", func(t *testing.T) {
		tables := map[uint32]string{}
		for _, n := range p.Numbers {
			if other := tables[n.Table]; other != "" {
				t.Errorf("%s and %s share table %d", n.Name, other, n.Table)
			}
			tables[n.Table] = n.Name
		}
	})
}
