package compiler

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"pbr/compiler/plan"
)

func TestNames(t *testing.T) {
	doc := parse(t, `
[lists]
a = { domains = ["example.com", "*.deep.example.com", "com.example"] }
b = [{ domains = ["deep.example.com"] }, { domains = ["b.test"] }, "192.0.2.1"]
none = ["192.0.2.2"]
[[uplink]]
name = "isp1"
interface = "eth1"
gateway = "192.0.2.1"
[default]
routes = { uplink = "isp1" }
`)
	sets := func(lists ...string) (out []SetOf) {
		for _, l := range lists {
			out = append(out, SetOf{"list-" + l + "-4", plan.IPv4}, SetOf{"list-" + l + "-6", plan.IPv6})
		}
		return out
	}
	want := []NameSets{{"b.test", sets("b")}, {"com.example", sets("a")}, {"deep.example.com", sets("a", "b")}, {"example.com", sets("a")}}
	if d := cmp.Diff(want, Names(doc)); d != "" {
		t.Error(d)
	}
}
