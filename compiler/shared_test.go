package compiler

import (
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

func TestSharedName(t *testing.T) {
	port := func(from, to uint16) plan.Element {
		return plan.Element{From: plan.KeyFromUint16(from), To: plan.KeyFromUint16(to)}
	}
	name := func(s string) plan.Element { return single(plan.KeyFromString(s)) }
	var many []plan.Element
	for i := range uint16(20) {
		many = append(many, port(10000+2*i, 10000+2*i)) // too many to name
	}
	for _, c := range []struct {
		name     string
		t        plan.Type
		elements []plan.Element
		want     string
	}{
		{"protocols by name", plan.TypeProto, []plan.Element{single(plan.KeyFromUint8(6)), single(plan.KeyFromUint8(17))},
			"protocols-tcp/udp"},
		{"a port and a range", plan.TypePort, []plan.Element{port(53, 53), port(5060, 5061)}, "ports-53/5060-5061"},
		{"too many to name", plan.TypePort, many, ""},
		{"a separator within the first name", plan.TypeIfname, []plan.Element{name("a_b"), name("c")}, "interfaces-a_b/c"},
		{"a separator within the second name", plan.TypeIfname, []plan.Element{name("a"), name("b_c")}, "interfaces-a/b_c"},
		{"a quote cannot be in a name", plan.TypeIfname, []plan.Element{name("a"), name(`b"`)}, ""},
		{"an at sign cannot be in a name", plan.TypeIfname, []plan.Element{name("a"), name("b@c")}, ""},
		{"addresses are not named", plan.TypeIPv4, []plan.Element{single(plan.Key{10}), single(plan.Key{11})}, ""},
		{"a protocol without a name", plan.TypeProto,
			[]plan.Element{single(plan.KeyFromUint8(2)), single(plan.KeyFromUint8(132))}, "protocols-2/sctp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sharedName(c.t, c.elements); got != c.want {
				t.Errorf("sharedName(%s, %d elements) = %q, not %q", c.t, len(c.elements), got, c.want)
			}
		})
	}
}

// Policies with equal ports share one set; a negated selector uses the same.
func TestSharedSets(t *testing.T) {
	text := `
[pbr]
offload = "off"
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
[default]
routes = { uplink = "isp1" }
[[policy]]
name = "a"
proto = "tcp"
dport = [80, 443]
uplink = "isp2"
[[policy]]
name = "b"
proto = "udp"
dport = ["!443", "!80"]
uplink = "isp2"
`
	doc, ds := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "pbr.toml")
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	p, ds := Compile(doc, plan.HostFacts{}, nil)
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	t.Run("there is one set for both", func(t *testing.T) {
		var names []string
		for _, s := range p.Ruleset.Sets {
			if strings.HasPrefix(s.Name, "ports-") || strings.HasPrefix(s.Name, "policy-") {
				names = append(names, s.Name)
			}
		}
		if len(names) != 1 || names[0] != "ports-80/443" {
			t.Errorf("sets of the policies: %q", names)
		}
	})
	t.Run("it is matched as it is and negated", func(t *testing.T) {
		uses := map[bool]int{}
		for _, c := range p.Ruleset.Chains {
			for _, r := range c.Rules {
				for _, m := range r.Matches {
					if m.Set == "ports-80/443" {
						uses[m.Not]++
					}
				}
			}
		}
		if uses[false] != 1 || uses[true] != 1 {
			t.Errorf("ports-80/443 is matched %d times, and negated %d times", uses[false], uses[true])
		}
	})
}
