//go:build linux

package nft

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"pbr/compiler"
	"pbr/compiler/layers"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/render"
)

// selectorsOfForwarded are the keys of a policy for forwarded traffic with one value each, and
// whether that can be negated.
var selectorsOfForwarded = []struct {
	key, value string
	negated    bool
}{
	{"from", `"%sbr-lan"`, true}, {"src", `"%s10.0.0.1"`, true}, {"src", `"%s2001:db8::1"`, true},
	{"dst", `"%s10.0.0.2"`, true}, {"dst", `"%s2001:db8::2"`, true},
	{"proto", `"%stcp"`, true}, {"sport", `"%s1111"`, true}, {"dport", `"%s2222"`, true}, {"dscp", `"%sef"`, true},
	{"fwmark", `"%s0x1/0x1"`, false}, {"mac", `"%s02:00:00:00:00:01"`, false},
}

// nft 1.0.6 merges "udp sport != A udp dport != B" into one comparison of both, which holds where
// one of them alone differs. So of every two selectors that stand side by side in what pbr prints,
// negated or not, the kernel has to hold what pbr itself sends.
func TestNeighbouringSelectorsStayApart(t *testing.T) {
	var text strings.Builder
	text.WriteString("[pbr]\noffload = \"off\"\n[[uplink]]\nname = \"isp1\"\ninterface = \"eth1\"\n")
	n := 0
	add := func(lines ...string) {
		n++
		fmt.Fprintf(&text, "[[policy]]\nname = \"p%d\"\nuplink = \"isp1\"\n%s\n", n, strings.Join(lines, "\n"))
	}
	for i, a := range selectorsOfForwarded {
		for _, b := range selectorsOfForwarded[i+1:] {
			for sign := range 4 {
				if a.key == b.key || sign&1 != 0 && !a.negated || sign&2 != 0 && !b.negated ||
					strings.Contains(a.value, ":") != strings.Contains(b.value, ":") && a.key == "src" && b.key == "dst" {
					continue
				}
				add(a.key+" = "+fmt.Sprintf(a.value, strings.Repeat("!", sign&1)), b.key+" = "+
					fmt.Sprintf(b.value, strings.Repeat("!", sign>>1)))
			}
		}
	}
	add(`from = "local"`, "uid = 5", "gid = 6")
	add(`from = "local"`, "gid = 7", `dport = "!7"`)
	add(`dscp = ["!ef", "!cs1"]`, `sport = "!1"`, `dport = "!2"`)
	doc, ds := policy.ParseWith(fstest.MapFS{"p": {Data: []byte(text.String())}}, "p", "p", policy.Options{ErrorsOnly: true})
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	c := compiler.New(doc)
	c.Form = layers.List
	want, problems := c.Compile(plan.HostFacts{}, nil)
	if want == nil {
		t.Fatal(problems)
	}
	var script strings.Builder
	if err := render.NFT(&script, want); err != nil {
		t.Fatal(err)
	}
	ns := newNetns(t)
	ns.load(script.String())
	have := &plan.Plan{Mask: want.Mask, BasePriority: want.BasePriority, Rules: want.Rules, Routes: want.Routes, Ruleset: ns.read().Ruleset}
	if changes := plan.Diff(have, want); !changes.Empty() {
		var b strings.Builder
		_ = render.Diff(&b, have, want, changes, false)
		t.Errorf("of %d policies the kernel has something else than was printed:\n%s", n, b.String())
	}
	if n < 100 {
		t.Errorf("only %d policies", n)
	}
}
